package detect

import "strings"

// drops are places that take files or text from anybody.
var drops = hostsOf(`
file.io transfer.sh 0x0.st ix.io sprunge.us termbin.com pastebin.com paste.ee hastebin.com dpaste.com dpaste.org rentry.co rentry.org paste.rs p.ip.fi clbin.com paste.c-net.org
controlc.com ghostbin.com ghostbin.co privatebin.net catbox.moe litterbox.catbox.moe anonfiles.com bayfiles.com gofile.io tmpfiles.org bashupload.com oshi.at temp.sh uguu.se pomf.cat filebin.net
ufile.io sendspace.com mediafire.com mega.nz mega.io send.cm wormhole.app pixeldrain.com krakenfiles.com 1fichier.com zippyshare.com chunk.io keep.sh cl1p.net fileditch.com bpa.st pasteio.com envs.sh x0.at null.pointer.sh ttm.sh free.keep.sh
teknik.io u.teknik.io anonymfile.com easyupload.io workupload.com up.hsb.sh send.vis.ee tmp.ninja store1.gofile.io`)

// catchers are places made to see whether somebody calls, and with what.
var catchers = hostsOf(`
webhook.site requestbin.com requestbin.net pipedream.net requestcatcher.com beeceptor.com hookbin.com requestrepo.com postb.in mockbin.org mockbin.io ngrok.io ngrok.app ngrok-free.app ngrok.dev
oastify.com burpcollaborator.net interact.sh oast.pro oast.live oast.site oast.online oast.fun oast.me oast.us canarytokens.com canarytokens.org dnslog.cn ceye.io dnsbin.zhack.ca
localhost.run serveo.net trycloudflare.com loca.lt lhr.life bore.pub typedwebhook.tools webhook-test.com webhookrelay.com hookdeck.com pipedream.com requestinspector.com httpdump.app
eo.pipedream.net ptsv2.com ptsv3.com dnslog.link log.xn--9tr.com bxss.me xss.ht b-cdn.workers pingb.in exfil.dev smee.io`)

// shellGivers are places whose scripts give a shell to whoever asks.
var shellGivers = hostsOf(`gsocket.io reverse-shell.sh resh.now.sh shell.now.sh sshx.io tmate.io`)

func dropHost(h string) bool {
	return hostIn(h, drops) || hostIn(h, catchers) || hostIn(h, shellGivers)
}

func catcherHost(h string) bool { return hostIn(h, catchers) }

// chatHook reports links that post into a chat. Sending one's own build result
// there is everyday work; sending files and command output is not.
func chatHook(link string) bool {
	l := strings.ToLower(link)
	return hasAny(l, "hooks.slack.com/", "discord.com/api/webhooks", "discordapp.com/api/webhooks", "api.telegram.org/bot", "webhook.office.com/", "chat.googleapis.com/v1/spaces")
}
