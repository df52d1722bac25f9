# bash completion for coi. Candidates come from the tools themselves.
_coi() {
	local cur=${COMP_WORDS[COMP_CWORD]} verb='' i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-w | --workspace | --profile | --slot | --tool | --image | --network) ((i++)) ;;
		-*) ;;
		*)
			verb=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	local IFS=$'\n' line
	if [[ -z $verb && $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(coi --list-cmds=all 2>/dev/null)" -- "$cur")
		return
	fi
	case $verb in
	help)
		mapfile -t COMPREPLY < <(compgen -W "$(coi --list-cmds=all 2>/dev/null)" -- "$cur")
		return
		;;
	completion)
		mapfile -t COMPREPLY < <(compgen -W $'bash\nzsh\nfish' -- "$cur")
		return
		;;
	esac
	while IFS= read -r line; do
		COMPREPLY+=("${line%%$'\t'*}")
	done < <(coi "${verb:-shell}" __complete "${COMP_WORDS[@]:i+1:COMP_CWORD-i}" 2>/dev/null)
}
complete -o default -F _coi coi
