# Prints one line for each query. What does not exist has no line; for name and port the line is the problem:
#   user:NAME                  user NAME
#   path:PATH                  path PATH OWNER GROUP MODE, the mode as ls shows it
#   file:PATH                  file PATH OWNER GROUP MODE SHA256
#   link:PATH                  link PATH TARGET
#   folder:PATH                folder PATH NAME/NAME, its entries; none if it is empty or does not exist
#   unit:NAME                  unit NAME ENABLED ACTIVE
#   leaf:PATH:CA:SECONDS       leaf PATH:CA:SECONDS, if CA signed the certificate and it is valid that much longer
#   clock:SECONDS              clock OFFSET, seconds between the host's clock and the given time
#   name:NAME                  unresolved NAME
#   port:NUMBER:UNIT           taken NUMBER ADDRESS PROCESS, if another program than the unit listens there
#   room:PATH                  room PATH MIB, free on the file system of PATH
#   credential:UNIT:PATH       credential UNIT:PATH, if the unit runs with the current content of PATH
# usage: host_state.sh QUERY...
for query in "$@"; do
    rest=${query#*:}
    case ${query%%:*} in
        user) getent passwd "$rest" > /dev/null && echo "user $rest" ;;
        path) [ -e "$rest" ] && stat -c "path %n %U %G %A" "$rest" ;;
        file)
            [ -f "$rest" ] && [ ! -L "$rest" ] && sum=$(sha256sum < "$rest") &&
                echo "$(stat -c "file %n %U %G %a" "$rest") ${sum%% *}"
            ;;
        link) [ -L "$rest" ] && echo "link $rest $(readlink "$rest")" ;;
        folder) echo "folder $rest $(cd "$rest" 2>/dev/null && ls | LC_ALL=C sort | tr '\n' /)" | sed 's,[ /]$,,' ;;
        unit) echo "unit $rest $(systemctl is-enabled "$rest" 2>/dev/null) $(systemctl is-active "$rest")" ;;
        leaf)
            path=${rest%%:*}
            seconds=${rest##*:}
            ca=${rest#*:}
            openssl x509 -in "$path" -noout -checkend "$seconds" > /dev/null 2>&1 &&
                openssl verify -CAfile "${ca%:*}" "$path" > /dev/null 2>&1 && echo "leaf $rest"
            ;;
        clock) echo "clock $(($(date +%s) - rest))" ;;
        name) getent ahosts "$rest" > /dev/null || echo "unresolved $rest" ;;
        port)
            ss --no-header --listening --tcp --numeric --processes "sport = :${rest%%:*}" |
                while read -r _ _ _ address _ who; do
                    pid=$(printf '%s\n' "$who" | sed -n 's/.*pid=\([0-9]*\).*/\1/p')
                    grep -qs "/${rest#*:}" "/proc/$pid/cgroup" && continue
                    echo "taken ${rest%%:*} $address $who"
                done
            ;;
        room)
            path=$rest
            while [ ! -d "$path" ]; do path=$(dirname "$path"); done
            echo "room $rest $(df -Pm "$path" | awk 'NR == 2 { print $4 }')"
            ;;
        credential)
            path=${rest#*:}
            cmp -s "/run/credentials/${rest%%:*}/${path##*/}" "$path" && echo "credential $rest"
            ;;
    esac
done
exit 0
