# fish completion for coi. Candidates come from the tools themselves.
function __coi_candidates
    set -l tokens (commandline -opc)
    set -l cur (commandline -ct)
    set -e tokens[1]
    set -l verb ''
    while test (count $tokens) -gt 0
        switch $tokens[1]
            case -w --workspace --profile --slot --tool --image --network
                set -e tokens[1]
            case '-*'
            case '*'
                set verb $tokens[1]
        end
        set -e tokens[1]
        test -n "$verb"; and break
    end
    if test -z "$verb"; and not string match -q -- '-*' $cur
        coi --list-cmds=all 2>/dev/null
        return
    end
    switch $verb
        case help
            coi --list-cmds=all 2>/dev/null
        case completion
            printf '%s\n' bash zsh fish
        case ''
            coi shell __complete $tokens $cur 2>/dev/null
        case '*'
            coi $verb __complete $tokens $cur 2>/dev/null
    end
end
complete -c coi -f -a '(__coi_candidates)'
