# Plays `vagrant up` of all machines at once: Vagrant's threads, with daemons of this machine for the machines.
# Arguments: FOLDER, then NAME=ADDRESS=SWARMCTL… a machine.
require "open3"
require_relative "../../../deploy/vagrant/membership"

# What Vagrant gives a trigger: a name, and a way to run commands as root.
Machine = Struct.new(:name, :swarmctl) do
  def communicate
    self
  end

  def sudo(command, error_check:)
    stdout, stderr, status = Open3.capture3(command.sub(/\Aswarmctl/, swarmctl))
    yield :stdout, stdout
    yield :stderr, stderr
    status.exitstatus
  end
end

folder, *machines = ARGV
machines = machines.map { |machine| machine.split("=", 3) }
managers = machines.filter_map { |name, address, _| [name, address] if name.start_with?("manager") }.to_h
cluster = Membership.new(folder, managers)
Thread.report_on_exception = false
threads = machines.map do |name, address, swarmctl|
  Thread.new { cluster.look_after(Machine.new(name, swarmctl), name, address) }
end
threads.each(&:join)
