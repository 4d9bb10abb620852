# Which machine starts the cluster, which joins it, with what token? Runs on the host, a thread per machine.
#
# The first manager starts the cluster and puts the join tokens into a folder of the host that only its owner
# can read; the others wait for them there. Whoever is a member already stays what it is. A machine made anew
# while the others live on joins them, the first manager too: tokens go only with the last machine.

require "fileutils"

class Membership
  ROLES = %w[manager worker].freeze
  PORT = 2377
  TOKENS_TIMEOUT_S = 1800 # the first manager may still be downloading its box

  class Failed < StandardError; end

  # `managers`: addresses by name.
  def initialize(folder, managers)
    @folder = folder
    @managers = managers
  end

  # Make a machine that is up a member of the cluster.
  def look_after(machine, name, address)
    role = @managers.key?(name) ? "manager" : "worker"
    join_or_start(machine, name, address, role) if output(machine, "swarmctl info --format '{{.NodeID}}'").empty?
    keep_tokens(machine) if role == "manager"
  end

  # The last machine is gone, and the cluster with it.
  def forget
    FileUtils.rm_rf(@folder)
  end

  private

  def join_or_start(machine, name, address, role)
    if name == @managers.keys.first && !File.exist?(token_file(role))
      output(machine, "swarmctl init --advertise-addr #{address}")
    else
      others = @managers.reject { |manager, _| manager == name }.values.map { |host| "#{host}:#{PORT}" }
      token = wait_for_token(role)
      output(machine, "swarmctl join --advertise-addr #{address} --token #{token} #{others.join(" ")}", token)
    end
  end

  def keep_tokens(machine)
    FileUtils.mkdir_p(@folder, mode: 0o700)
    ROLES.each do |role|
      token = output(machine, "swarmctl join-token -q #{role}")
      beside = "#{token_file(role)}.#{machine.name}"
      File.write(beside, token, perm: 0o600)
      File.rename(beside, token_file(role))
    end
  end

  def wait_for_token(role)
    deadline = Time.now + TOKENS_TIMEOUT_S
    until File.exist?(token_file(role))
      raise Failed, "no cluster to join: vagrant up #{@managers.keys.first}" if Time.now > deadline

      sleep 1
    end
    File.read(token_file(role))
  end

  def token_file(role)
    File.join(@folder, "#{role}.token")
  end

  # What a command printed; raises Failed, with the secret left out.
  def output(machine, command, secret = nil)
    text = { stdout: +"", stderr: +"" }
    code = machine.communicate.sudo(command, error_check: false) { |kind, data| text[kind] << data if text.key?(kind) }
    return text[:stdout].strip if code.zero?

    told = "#{command}: #{text[:stderr].strip}"
    raise Failed, "#{machine.name}: #{secret ? told.gsub(secret, "TOKEN") : told}"
  end
end
