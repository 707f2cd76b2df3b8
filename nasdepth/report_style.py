"""How a report looks, on a screen of any width, in the dark and on paper.

The colours of the verdicts are those of Okabe & Ito (2008); a sign and a word stand
beside each. Figures are white cards in the dark too: their colours are made for white.
"""

from typing import Final

STYLE: Final = """
:root{--ink:#1f2933;--soft:#52606d;--rule:#dde2e8;--paper:#fff;--wash:#f5f7fa;
--link:#00598c;--good:#009e73;--bad:#d55e00;--open:#e69f00;--none:#7b8794}
@media (prefers-color-scheme:dark){:root{--ink:#e4e7eb;--soft:#aab4c0;--rule:#3a4552;
--paper:#161b22;--wash:#1f2630;--link:#7cc4f5}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
header,main,nav,footer{max-width:66rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.5rem}
h1{font-size:clamp(1.6rem,4.5vw,2.4rem);line-height:1.2;letter-spacing:-.015em;
margin:.2rem 0 1.2rem;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1.4rem;line-height:1.3;margin:0 0 .7rem;overflow-wrap:anywhere}
h3{font-size:1rem;margin:0 0 .3rem}
p,li,dd,blockquote{max-width:46rem;overflow-wrap:anywhere}
a{color:var(--link)}
.kicker{color:var(--soft);margin:0;font-weight:600;overflow-wrap:anywhere}
.verdicts{display:grid;gap:1rem}
.verdict{--hue:var(--none);background:var(--wash);border-left:8px solid var(--hue);
border-radius:6px;padding:1.1rem 1.3rem}
.verdict p{margin:.35rem 0}.verdict h2{margin:0 0 .6rem}
.supported{--hue:var(--good)}.contradicted{--hue:var(--bad)}
.undecided{--hue:var(--open)}
.badge{display:inline-block;background:var(--hue);color:#10161d;font-size:1.5rem;
font-weight:700;padding:.1rem .8rem .15rem;border-radius:4px}
blockquote{margin:.8rem 0 .4rem;padding-left:.9rem;border-left:3px solid var(--rule);
font-style:italic}
nav ol{columns:2;column-gap:2rem;margin:1.8rem 0;padding-left:1.4rem;font-size:.95rem}
main>section{border-top:1px solid var(--rule);padding:1.8rem 0 1.2rem}
.warnings ul{border-left:8px solid var(--open);background:var(--wash);margin:0;
border-radius:6px;padding:.9rem 1.2rem .9rem 2.2rem}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.3rem 1.4rem;
margin:.6rem 0 1rem}
dt{color:var(--soft);max-width:15rem;overflow-wrap:anywhere}dd{margin:0}
.scroll{overflow-x:auto;margin:1rem 0 .4rem}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding-bottom:.45rem}
th,td{padding:.32rem .8rem;text-align:right;vertical-align:top;white-space:nowrap}
th:first-child{text-align:left;padding-left:0;white-space:normal;min-width:11rem;
max-width:26rem}
thead th{border-bottom:2px solid var(--soft);color:var(--soft);font-weight:600}
tbody th{font-weight:400}
tbody tr{border-bottom:1px solid var(--rule)}
.note,figcaption{color:var(--soft);font-size:.9rem}
.note{margin:.3rem 0 1rem}
figure{margin:1rem 0}
.grid{display:grid;gap:1rem;margin:.6rem 0 1.2rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr))}
.three{grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}
.grid .wide{grid-column:1/-1}
.plot,.drawing{background:#fff;color:#1f2933;border:1px solid var(--rule);
border-radius:6px;padding:.9rem 1rem;margin:0;min-width:0}
.plot figcaption,.drawing figcaption{color:#52606d;max-width:46rem}
.keys{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;padding:0;
margin:.1rem 0 .5rem;font-size:.9rem}
.shared{background:#fff;color:#1f2933;border-radius:6px;margin:.6rem 0}
.shared .keys{margin:0;padding:.1rem 0}
@media (prefers-color-scheme:dark){.shared .keys{padding:.4rem 1rem}}
.drawing{margin:1rem 0}
.drawing img{display:block;width:100%;min-width:40rem;height:auto}
.listing figcaption{font-weight:600;color:var(--ink)}
pre{background:var(--wash);border:1px solid var(--rule);border-radius:6px;
padding:.8rem 1rem;overflow-x:auto;font:.86rem/1.5 ui-monospace,Menlo,Consolas,
"DejaVu Sans Mono",monospace}
footer{color:var(--soft);font-size:.9rem;padding-bottom:2rem}
@media (max-width:40rem){header,main,nav,footer{padding-left:.9rem;padding-right:.9rem}
nav ol{columns:1}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}
.plot,.drawing{padding:.6rem .5rem}.wide>div{overflow-x:auto}
.wide>div>div{min-width:34rem}.badge{font-size:1.25rem}}
@page{margin:14mm}
@media print{:root{--ink:#000;--soft:#444;--rule:#ccc;--paper:#fff;--wash:#f5f7fa;
--link:#000}
body{font-size:10.5pt}header,main,nav,footer{max-width:none;padding:0}
header{padding-top:0}nav{display:none}
.verdict,.warnings ul,.badge{-webkit-print-color-adjust:exact;print-color-adjust:exact}
main>section{padding:1rem 0 .4rem}
h2,h3,caption{break-after:avoid}
figure,.verdict,tr,dt,dd,li{break-inside:avoid}.listing{break-inside:auto}
thead{display:table-header-group}
.scroll{overflow:visible}table{font-size:8.5pt;width:100%}
th,td{padding:.2rem .4rem}th:first-child{min-width:0}
td{white-space:normal}
.grid{display:block}.plot{display:inline-block;vertical-align:top;width:49%;
margin:0 .5% .7rem 0;padding:.5rem .4rem}.plot.wide{display:block;width:auto}
.plot h3{font-size:9.5pt}.plot figcaption{font-size:8.5pt}
.shared,.keys{display:block;break-inside:avoid;break-after:avoid}
.keys li{display:inline-block;margin-right:1rem}
.drawing img{min-width:0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;overflow:visible}}
"""

#: figures get the width of a sheet while the page is printed
SCRIPT: Final = """
(function(){
const sheet=d=>d.closest(".wide")?640:318;
"use strict";
const all=()=>Array.from(document.querySelectorAll(".js-plotly-plot"));
addEventListener("load",()=>all().forEach(d=>Plotly.Plots.resize(d)));
const tall=new Map();
const draw=(d,layout)=>{d.parentElement.style.height=layout.height+"px";
Plotly.relayout(d,layout);};
addEventListener("beforeprint",()=>all().forEach(d=>{
if(!tall.has(d))tall.set(d,d.layout.height);
const height=d.closest(".wide")?tall.get(d):290;
draw(d,{autosize:false,width:sheet(d),height:height});}));
addEventListener("afterprint",()=>all().forEach(
d=>draw(d,{autosize:true,width:null,height:tall.get(d)})));
})();
"""
