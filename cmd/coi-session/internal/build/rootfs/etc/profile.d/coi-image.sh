# Node programs read the authorities that this machine trusts.
export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
case :$PATH: in
*:"$HOME/.local/bin":*) ;;
*) export PATH="$HOME/.local/bin:$PATH" ;;
esac
