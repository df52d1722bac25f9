package redact

// class says which bytes a token consists of.
type class uint16

const (
	digit   class = 1 << iota
	upper         // A-Z
	lower         // a-z
	hexa          // 0-9 a-f
	dash          // -
	under         // _
	dot           // .
	base          // + / =
	special       // the rest of what URLs and keys have: ~ % ! $ * :
)

const (
	alnum = digit | upper | lower
	url64 = alnum | dash | under
)

// rule is one token shape: a fixed start at the start of a word, then between
// min and max bytes of a class. quiet is a text that
// begins like a token and is none.
type rule struct {
	kind   string
	prefix string
	class  class
	min    int
	max    int // 0: no limit
	quiet  string
}

// rules are the known token shapes that start with a fixed text. Longer
// prefixes stand before shorter ones that they begin with.
var rules = []rule{
	// clouds
	{"cloud-key", "AKIA", upper | digit, 16, 16, "AKIAlower"},
	{"cloud-key", "ASIA", upper | digit, 16, 16, "ASIAN food"},
	{"cloud-key", "ABIA", upper | digit, 16, 16, "ABIA"},
	{"cloud-key", "ACCA", upper | digit, 16, 16, "ACCA"},
	{"cloud-key", "AIza", url64, 35, 35, "AIza short"},
	{"cloud-key", "ya29.", url64 | dot, 20, 0, "ya29.x"},
	{"cloud-key", "GOCSPX-", url64, 24, 0, "GOCSPX-"},
	{"cloud-key", "LTAI", alnum, 16, 24, "LTAI"},
	{"cloud-key", "dop_v1_", hexa, 64, 64, "dop_v1_"},
	{"cloud-key", "doo_v1_", hexa, 64, 64, "doo_v1_"},
	{"cloud-key", "dor_v1_", hexa, 64, 64, "dor_v1_"},
	{"cloud-key", "hvs.", url64, 24, 0, "hvs.x"},
	{"cloud-key", "hvb.", url64, 24, 0, "hvb.x"},
	{"cloud-key", "hvr.", url64, 24, 0, "hvr.x"},
	{"cloud-key", "dapi", hexa, 32, 34, "dapi"},
	{"cloud-key", "pul-", hexa, 40, 40, "pul-l"},
	{"cloud-key", "nfp_", alnum, 36, 0, "nfp_"},
	{"cloud-key", "HRKU-", url64, 36, 0, "HRKU-"},
	{"cloud-key", "FlyV1 ", alnum | base | under | dash | special, 40, 0, "FlyV1 x"},
	{"cloud-key", "sbp_", hexa, 40, 40, "sbp_"},
	{"cloud-key", "pscale_tkn_", url64 | dot, 30, 0, "pscale_tkn_"},
	{"cloud-key", "pscale_pw_", url64 | dot, 30, 0, "pscale_pw_"},
	{"cloud-key", "tskey-", alnum | dash, 20, 0, "tskey-x"},
	{"cloud-key", "ops_ey", alnum | base | dash | under, 60, 0, "ops_ey"},
	{"cloud-key", "dp.pt.", alnum, 40, 0, "dp.pt.x"},
	{"cloud-key", "glsa_", alnum | under, 40, 0, "glsa_x"},
	{"cloud-key", "glc_", alnum | base, 32, 0, "glc_x"},
	{"cloud-key", "NRAK-", upper | digit, 27, 27, "NRAK-x"},
	{"cloud-key", "sntrys_", alnum | base | under, 40, 0, "sntrys_x"},
	{"cloud-key", "sntryu_", hexa, 64, 64, "sntryu_x"},
	// forges
	{"forge-token", "github_pat_", alnum | under, 36, 0, "github_pat_docs"},
	{"forge-token", "ghp_", alnum, 36, 0, "ghp_short"},
	{"forge-token", "gho_", alnum, 36, 0, "gho_x"},
	{"forge-token", "ghu_", alnum, 36, 0, "ghu_x"},
	{"forge-token", "ghs_", alnum, 36, 0, "ghs_x"},
	{"forge-token", "ghr_", alnum, 36, 0, "ghr_x"},
	{"forge-token", "glpat-", url64 | dot, 20, 0, "glpat-x"},
	{"forge-token", "glptt-", url64, 20, 0, "glptt-x"},
	{"forge-token", "gldt-", url64, 20, 0, "gldt-x"},
	{"forge-token", "glrt-", url64 | dot, 20, 0, "glrt-x"},
	{"forge-token", "glcbt-", url64, 20, 0, "glcbt-x"},
	{"forge-token", "glft-", url64, 20, 0, "glft-x"},
	{"forge-token", "glsoat-", url64, 20, 0, "glsoat-x"},
	{"forge-token", "glagent-", url64, 20, 0, "glagent-x"},
	{"forge-token", "gloas-", alnum, 40, 0, "gloas-x"},
	{"forge-token", "GR1348941", url64, 20, 0, "GR1348941"},
	{"forge-token", "ATATT3", alnum | dash | under | base, 40, 0, "ATATT3"},
	{"forge-token", "ATBB", alnum, 28, 0, "ATBB"},
	{"forge-token", "ATCTT3", alnum | dash | under | base, 40, 0, "ATCTT3"},
	// chat and bots
	{"chat-token", "xoxb-", alnum | dash, 20, 0, "xoxb-x"},
	{"chat-token", "xoxp-", alnum | dash, 20, 0, "xoxp-x"},
	{"chat-token", "xoxa-", alnum | dash, 20, 0, "xoxa-x"},
	{"chat-token", "xoxr-", alnum | dash, 20, 0, "xoxr-x"},
	{"chat-token", "xoxs-", alnum | dash, 20, 0, "xoxs-x"},
	{"chat-token", "xoxe-", alnum | dash, 20, 0, "xoxe-x"},
	{"chat-token", "xoxe.", alnum | dash | dot, 20, 0, "xoxe.x"},
	{"chat-token", "xapp-", alnum | dash, 20, 0, "xapp-x"},
	{"chat-token", "lin_api_", alnum, 32, 0, "lin_api_x"},
	{"chat-token", "ntn_", alnum, 40, 0, "ntn_x"},
	{"chat-token", "figd_", url64, 36, 0, "figd_x"},
	{"chat-token", "PMAK-", alnum | dash, 50, 0, "PMAK-x"},
	// payment
	{"payment-key", "sk_live_", alnum, 16, 0, "sk_live_x"},
	{"payment-key", "sk_test_", alnum, 16, 0, "sk_test_x"},
	{"payment-key", "rk_live_", alnum, 16, 0, "rk_live_x"},
	{"payment-key", "rk_test_", alnum, 16, 0, "rk_test_x"},
	{"payment-key", "whsec_", alnum | base, 24, 0, "whsec_x"},
	{"payment-key", "sq0atp-", url64, 22, 0, "sq0atp-x"},
	{"payment-key", "sq0csp-", url64, 40, 0, "sq0csp-x"},
	{"payment-key", "shpat_", hexa | upper, 32, 0, "shpat_x"},
	{"payment-key", "shpca_", hexa | upper, 32, 0, "shpca_x"},
	{"payment-key", "shppa_", hexa | upper, 32, 0, "shppa_x"},
	{"payment-key", "shpss_", hexa | upper, 32, 0, "shpss_x"},
	// mail
	{"mail-key", "SG.", url64 | dot, 40, 0, "SG.short"},
	{"mail-key", "key-", hexa, 32, 32, "key-value"},
	{"mail-key", "xkeysib-", hexa | dash | alnum, 64, 0, "xkeysib-x"},
	{"mail-key", "SK", hexa, 32, 32, "SKIP"},
	{"mail-key", "re_", alnum | under, 30, 40, "re_match"},
	// package registries
	{"registry-token", "npm_", alnum, 36, 0, "npm_config_loglevel"},
	{"registry-token", "pypi-AgE", url64, 50, 0, "pypi-AgE"},
	{"registry-token", "rubygems_", hexa, 48, 48, "rubygems_x"},
	{"registry-token", "cio", alnum, 32, 32, "cio"},
	{"registry-token", "dckr_pat_", url64, 24, 0, "dckr_pat_x"},
	{"registry-token", "oy2", lower | digit, 43, 43, "oy2"},
	{"registry-token", "CLOJARS_", alnum, 60, 60, "CLOJARS_x"},
	// model providers
	{"model-key", "sk-ant-", url64, 24, 0, "sk-ant-x"},
	{"model-key", "sk-proj-", url64, 24, 0, "sk-proj-x"},
	{"model-key", "sk-or-v1-", hexa, 40, 0, "sk-or-v1-x"},
	{"model-key", "sk-svcacct-", url64, 24, 0, "sk-svcacct-x"},
	{"model-key", "sk-", alnum | under, 32, 0, "sk-learn-x"},
	{"model-key", "gsk_", alnum, 40, 0, "gsk_x"},
	{"model-key", "hf_", alnum, 30, 0, "hf_hub_download"},
	{"model-key", "r8_", alnum, 36, 0, "r8_x"},
	{"model-key", "xai-", alnum, 60, 0, "xai-x"},
	{"model-key", "pplx-", alnum, 40, 0, "pplx-x"},
	{"model-key", "nvapi-", url64, 50, 0, "nvapi-x"},
	{"model-key", "tgp_v1_", url64, 40, 0, "tgp_v1_x"},
	{"model-key", "fw_", alnum, 24, 0, "fw_printenv"},
	// keys
	{"private-key", "AGE-SECRET-KEY-1", upper | digit, 50, 0, "AGE-SECRET-KEY-1"},
}

func (c class) has(b byte) bool { return classes[b]&c != 0 }

var classes = func() (t [256]class) {
	for b := range 256 {
		c := byte(b)
		switch {
		case c >= '0' && c <= '9':
			t[b] = digit | hexa
		case c >= 'a' && c <= 'f':
			t[b] = lower | hexa
		case c >= 'g' && c <= 'z':
			t[b] = lower
		case c >= 'A' && c <= 'Z':
			t[b] = upper
		case c == '-':
			t[b] = dash
		case c == '_':
			t[b] = under
		case c == '.':
			t[b] = dot
		case c == '+' || c == '/' || c == '=':
			t[b] = base
		case c == '~' || c == '%' || c == '!' || c == '$' || c == '*' || c == ':' || c == ',':
			t[b] = special
		}
	}
	return t
}()

// pairs holds, for each first byte, the second bytes that any prefix has.
var pairs = func() (t [256][4]uint64) {
	for i := range rules {
		p := rules[i].prefix
		t[p[0]][p[1]>>6] |= 1 << (p[1] & 63)
	}
	return t
}()

// byFirst lists the rules by the first byte of their prefix.
var byFirst = func() (t [256][]*rule) {
	for i := range rules {
		r := &rules[i]
		t[r.prefix[0]] = append(t[r.prefix[0]], r)
	}
	return t
}()
