# What do the firewalls of this machine let in? Lines KEY=VALUE on stdout; changes nothing. $ports: PORT/PROTOCOL each
PATH="$PATH:/usr/local/bin:/usr/sbin:/sbin"
export LC_ALL=C PATH
lines() { sed "s/^/$1=/"; }
if [ "$(id -u)" = 0 ]; then
  echo firewalls=seen
  command -v ufw >/dev/null 2>&1 && ufw status verbose 2>/dev/null | lines ufw
  if command -v firewall-cmd >/dev/null 2>&1 && firewall-cmd --state >/dev/null 2>&1; then
    echo "firewalld=$(firewall-cmd --get-default-zone 2>/dev/null)"
    firewall-cmd --query-service=docker-swarm >/dev/null 2>&1 && echo firewalld_open=docker-swarm
    firewall-cmd --list-rich-rules 2>/dev/null | lines firewalld_rule
    [ -n "$(firewall-cmd --zone=trusted --list-sources 2>/dev/null)" ] && echo firewalld_open=sources
    for port in $ports; do
      firewall-cmd --query-port="$port" >/dev/null 2>&1 && echo "firewalld_open=$port"
    done
  fi
  command -v nft >/dev/null 2>&1 && nft -s -t list ruleset 2>/dev/null | head -c 4000000 | lines nft
  command -v iptables >/dev/null 2>&1 && iptables -w 5 -S 2>/dev/null | head -c 4000000 | lines iptables
fi
