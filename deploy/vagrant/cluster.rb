# Makes the machines that are up one cluster: writes down how to reach them, and has swarmctl do it.
#
# Runs on the host, in a thread per machine. What swarmctl knows of the machines is in the same folder, away
# from the user's own clusters. While one thread provisions, others wait, and the next one takes all that have
# come up meanwhile.

require "fileutils"
require "socket"
require "yaml"

class Cluster
  ROOT = File.expand_path("../..", __dir__)
  REACHABLE_WITHIN_S = 2
  FORGET_WITHIN_S = "10"

  class Failed < StandardError; end

  # `swarmctl`: the program and its first arguments; by default that of this source.
  def initialize(folder, swarmctl = nil)
    @folder = folder
    @swarmctl = swarmctl
    @lock = Mutex.new
    @waiting = {}
    @waiting_lock = Mutex.new
  end

  # Make a machine that is up a node, together with all others that wait for it.
  def look_after(machine, role, address)
    name = machine.name.to_s
    entry = entry_of(machine.ssh_info, role, address)
    @waiting_lock.synchronize { @waiting[name] = entry }
    @lock.synchronize do
      mine = @waiting_lock.synchronize { @waiting.dup }
      return unless mine.key?(name) # somebody else has taken it along

      keep(machines.merge(mine))
      up(mine, machine.ui)
    end
  end

  # A machine is gone; with the last one all is forgotten.
  def forget(name)
    @lock.synchronize do
      known = machines
      gone = known.delete(name)
      return unless gone

      # It leaves the cluster while the other managers are enough to decide that; else it is only forgotten.
      left = known.values.count { |entry| entry["role"] == "manager" && reachable?(entry) }
      enough = left >= (gone["role"] == "manager" ? 2 : 1)
      run("machine", "rm", *(enough ? ["--force", "--timeout", FORGET_WITHIN_S] : ["--keep-remote"]), name)
      known.empty? ? FileUtils.rm_rf(@folder) : keep(known)
    end
  end

  private

  def entry_of(info, role, address)
    entry = { "host" => info[:host], "port" => info[:port].to_i, "user" => info[:username],
              "role" => role, "advertise_addr" => address }
    key = Array(info[:private_key_path]).first
    key ? entry.merge("key" => key) : entry
  end

  def up(mine, ui)
    reached = machines.select { |name, entry| mine.key?(name) || reachable?(entry) }
    if reached.values.none? { |entry| entry["role"] == "manager" }
      ui.warn("No manager is up yet: #{mine.keys.join(", ")} will be a node as soon as one is.")
      return
    end
    inventory = File.join(@folder, "cluster.yaml")
    File.write("#{inventory}.new", YAML.dump("cluster" => "vagrant", "machines" => reached))
    File.rename("#{inventory}.new", inventory)
    run("cluster", "up", "-f", inventory, "--host-key-policy", "accept-new", "--ssh-config", File::NULL,
        "--timeout", "120", "--health-timeout", "600") || # emulated machines take their time
      raise(Failed, "not all machines are nodes yet: see above, then try `vagrant provision`")
    @waiting_lock.synchronize { mine.each_key { |name| @waiting.delete(name) } }
  end

  def reachable?(entry)
    Socket.tcp(entry["host"], entry["port"], connect_timeout: REACHABLE_WITHIN_S, &:close)
    true
  rescue SystemCallError, SocketError
    false
  end

  def run(*words)
    environment = { "XDG_DATA_HOME" => @folder, "LD_LIBRARY_PATH" => nil, "PYTHONHOME" => nil }
    system(environment, *swarmctl, *words, in: File::NULL)
  end

  def swarmctl
    @swarmctl ||= begin
      own = File.join(ROOT, ".venv", "bin", "swarmctl")
      installed = File.exist?(own) || system("python3", File.join(ROOT, "deploy", "bootstrap.py"), "run")
      raise(Failed, "swarmctl cannot be installed here: see above") unless installed

      [own]
    end
  end

  # How all machines that have been up were reached, by name.
  def machines
    path = File.join(@folder, "machines.yaml")
    File.exist?(path) ? YAML.safe_load_file(path) : {}
  end

  def keep(known)
    FileUtils.mkdir_p(@folder, mode: 0o700)
    path = File.join(@folder, "machines.yaml")
    File.write("#{path}.new", YAML.dump(known))
    File.rename("#{path}.new", path)
  end
end
