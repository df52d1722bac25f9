package detect

import (
	"strings"
)

// pools are hosts of mining pools; any name below them counts.
var pools = hostsOf(`minexmr.com nanopool.org supportxmr.com hashvault.pro minergate.com nicehash.com f2pool.com ethermine.org 2miners.com unmineable.com moneroocean.stream
xmrpool.eu c3pool.com c3pool.org herominers.com miningpoolhub.com antpool.com flypool.org poolin.com viabtc.com slushpool.com braiins.com zpool.ca prohashing.com xmr.pt monerohash.com
dwarfpool.com crypto-pool.fr xmrfast.com minexmr.to hiveon.net flexpool.io ravenminer.com woolypooly.com kryptex.network rplant.xyz zergpool.com mining-dutch.nl luckypool.io p2pool.io gntl.uk solopool.org xmr.nicehash.com pool.gntl.co.uk kano.is ckpool.org auroramine.com moneroworld.com skypool.org ntpool.org bohemianpool.com`)

// miners are names of mining programs, without version.
var miners = strings.Fields(`xmrig xmrig-notls xmrig-cuda xmr-stak xmr-stak-rx cpuminer cpuminer-multi cpuminer-opt minerd ccminer cgminer bfgminer sgminer ethminer nbminer t-rex lolminer
phoenixminer gminer teamredminer nanominer srbminer srbminer-multi wildrig wildrig-multi claymore kinsing kdevtmpfsi cryptonight xmrminer minergate minergate-cli ewbf zm bminer rigel onezerominer cnrig jce_cn_cpu_miner
xmr-node-proxy xmrig-proxy nheqminer astrominer hellminer moneroocean randomx-miner verusminer cpuminer-sse2 xmrigdaemon xmrigminer trex`)
