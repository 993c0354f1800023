# Prints the state of a release in five lines, in one round trip:
#   PATH MAJOR.MINOR of the first supported interpreter among the candidates, or nothing
#   free MiB on the file system of HOME
#   the release that HOME/current points to, or nothing
#   the release that HOME/previous points to, or nothing
#   the content of RELEASE/.complete, or nothing
# then "end" and the output of host_state.sh, which is appended to this script and gets the arguments after "--".
# usage: release_state.sh HOME RELEASE "3.11 3.12" python3 python3.12 ... -- QUERY ...
home=$1
release=$2
supported=$3
shift 3

found=
while [ "$1" != -- ]; do
    candidate=$1
    shift
    [ -z "$found" ] || continue
    path=$(command -v "$candidate") || continue
    version=$("$path" -c 'import sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case " $supported " in
        *" $version "*)
            found="$path $version"
            ;;
    esac
done
shift
printf '%s\n' "$found"

existing=$home
while [ ! -d "$existing" ]; do
    existing=$(dirname "$existing")
done
df -Pm "$existing" | awk 'NR == 2 { print $4 }'

printf '%s\n' "$(readlink "$home/current")" "$(readlink "$home/previous")" "$(cat "$release/.complete" 2>/dev/null)" end
