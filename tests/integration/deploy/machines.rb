# Plays Vagrant for machines that are up: its threads, and what it tells triggers.
# Arguments: FOLDER, `up` or `destroy`, KEY, then NAME=ADDRESS… ; the environment's SWARMCTL is what to run.
require "shellwords"
require_relative "../../../deploy/vagrant/cluster"

Ui = Struct.new(:told) do
  def warn(text)
    puts "warning: #{text}"
  end
end

Machine = Struct.new(:name, :address, :key) do
  def ssh_info
    { host: address, port: "22", username: "ada", private_key_path: [key] }
  end

  def ui
    Ui.new
  end
end

folder, action, key, *machines = ARGV
cluster = Cluster.new(folder, ENV.fetch("SWARMCTL").shellsplit)
Thread.report_on_exception = false
threads = machines.map { |machine| machine.split("=") }.map do |name, address|
  Thread.new do
    role = name[/\w+/]
    next cluster.forget(name) if action == "destroy"

    cluster.look_after(Machine.new(name.to_sym, address, key), role, address)
  end
end
threads.each(&:join)
