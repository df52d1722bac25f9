#compdef coi
# zsh completion for coi. Candidates come from the tools themselves.
_coi() {
	local -a found
	local verb='' line
	integer i=2
	while (( i < CURRENT )); do
		case ${words[i]} in
		-w|--workspace|--profile|--slot|--tool|--image|--network) (( i++ )) ;;
		-*) ;;
		*) verb=${words[i]}; break ;;
		esac
		(( i++ ))
	done
	if [[ -z $verb && ${words[CURRENT]} != -* || $verb == help ]]; then
		found=(${(f)"$(coi --list-cmds=all 2>/dev/null)"})
		compadd -a found
		return
	fi
	if [[ $verb == completion ]]; then
		compadd bash zsh fish
		return
	fi
	while IFS= read -r line; do
		found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done < <(coi ${verb:-shell} __complete "${(@)words[i+1,CURRENT]}" 2>/dev/null)
	_describe 'coi' found
}
compdef _coi coi
