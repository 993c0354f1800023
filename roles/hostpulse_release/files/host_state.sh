# Says a line on each thing asked for; a thing that is not there gets none, except where the line is the fault:
#   user:NAME                  user NAME
#   path:PATH                  path PATH OWNER GROUP MODE, the mode as ls shows it
#   file:PATH                  file PATH OWNER GROUP MODE SHA256
#   link:PATH                  link PATH TARGET
#   folder:PATH                folder PATH NAME/NAME, what is in it; no name if that is nothing, or no folder is there
#   unit:NAME                  unit NAME ENABLED ACTIVE
#   leaf:PATH:CA:SECONDS       leaf PATH:CA:SECONDS, if CA signed the certificate and it holds that much longer
#   clock:SECONDS              clock OFF, seconds that the clock is off the given one
#   name:NAME                  unresolved NAME
#   port:NUMBER:UNIT           taken NUMBER WHO, if somebody listens there who is not of the unit
#   room:PATH                  room PATH MIB, free where PATH is or will be
#   credential:UNIT:PATH       credential UNIT:PATH, if the unit runs with the credential that PATH holds now
# usage: host_state.sh THING...
for thing in "$@"; do
    rest=${thing#*:}
    case ${thing%%:*} in
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
