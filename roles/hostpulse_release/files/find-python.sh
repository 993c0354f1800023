# Prints "PATH MAJOR.MINOR" of the first interpreter among the candidates whose version is supported.
# usage: find-python.sh "3.11 3.12" python3 python3.12 ...
supported=$1
shift
for candidate in "$@"; do
    path=$(command -v "$candidate") || continue
    version=$("$path" -c 'import sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case " $supported " in
        *" $version "*)
            printf '%s %s\n' "$path" "$version"
            exit 0
            ;;
    esac
done
exit 1
