"""The style sheet of the local org's console."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --surface: #ffffff; --text: #1b1f26; --muted: #566070; --line: #dde1e7; --link: #1a56b0;
  --ok: #17663a; --ok-back: #e4f4ea; --bad: #a8231b; --bad-back: #fdeae8;
  --warn: #7a4d00; --warn-back: #fdf1d9; --open: #44505f; --open-back: #e9edf2; --marked: #fff4c2;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111419; --surface: #191d24; --text: #e5e8ec; --muted: #a3adbb; --line: #2c333d; --link: #8fb8f6;
    --ok: #86d8a6; --ok-back: #17301f; --bad: #ffa39b; --bad-back: #3d1c1a;
    --warn: #f2c66d; --warn-back: #37290c; --open: #c3ccd8; --open-back: #262d37; --marked: #423700;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 2rem clamp(1rem, 3vw, 3rem) 4rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums;
}
main, header { max-width: 100rem; margin-inline: auto; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.1rem; }
p { margin: .25rem 0 0; }
small, .muted { color: var(--muted); font-size: .8125rem; }
a { color: var(--link); text-underline-offset: .15em; }
code, pre { font: 13px/1.45 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1.25rem 0 0; }
dl > div { padding: .75rem 1rem; background: var(--surface); border: 1px solid var(--line); border-radius: 8px; }
dt { color: var(--muted); font-size: .8125rem; }
dd { margin: 0; }
dd:not(.muted) { font-size: 1.5rem; font-weight: 600; line-height: 1.3; }
form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin: 1.5rem 0 .75rem; }
label { display: grid; gap: .25rem; color: var(--muted); font-size: .8125rem; }
label:has(input) { flex: 0 1 24rem; min-width: 12rem; }
input, select, button {
  min-height: 2.25rem; padding: .25rem .625rem; border: 1px solid var(--muted); border-radius: 6px;
  background: var(--surface); color: var(--text); font: inherit; font-size: .9375rem; max-width: 100%;
}
button { background: var(--link); border-color: var(--link); color: var(--surface); font-weight: 600; cursor: pointer; }
form a { padding-block: .375rem; }
main > p + table { margin-top: .75rem; }
table {
  width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 0;
  background: var(--surface); border: 1px solid var(--line); border-radius: 8px;
}
th, td { padding: .5rem .75rem; text-align: start; vertical-align: top; overflow-wrap: anywhere; }
td { border-top: 1px solid var(--line); }
th {
  position: sticky; top: 0; z-index: 1; background: var(--surface); box-shadow: 0 1px var(--line);
  color: var(--muted); font-size: .8125rem; font-weight: 600;
}
thead tr > :first-child { border-start-start-radius: 8px; }
thead tr > :last-child { border-start-end-radius: 8px; }
tbody tr:first-child td { border-top: 0; }
th.time { width: 7rem; }
th.flow { width: 13rem; }
th.status { width: 10.5rem; }
th.duration { width: 5.75rem; }
th.dag-run { width: 14rem; }
.token-requests { max-width: 40rem; }
td.duration, th.duration { text-align: end; white-space: nowrap; }
td small { display: block; }
tr:has(:target) td { background: var(--marked); }
:target { scroll-margin-top: 4rem; font-weight: 600; }
tr:has(:target) small, tr:has(:target) .none { color: var(--text); }
.state {
  display: inline-block; padding: .0625rem .5rem; border-radius: 999px; font-size: .8125rem; font-weight: 600;
  white-space: nowrap;
}
.ok { color: var(--ok); background: var(--ok-back); }
.bad { color: var(--bad); background: var(--bad-back); }
.warn { color: var(--warn); background: var(--warn-back); }
.open { color: var(--open); background: var(--open-back); }
.none { color: var(--muted); }
summary { cursor: pointer; white-space: nowrap; }
summary code {
  display: inline-block; max-width: calc(100% - 1.25rem); overflow: hidden; text-overflow: ellipsis;
  vertical-align: bottom;
}
details[open] summary code { color: var(--muted); }
pre {
  margin: .5rem 0 0; padding: .625rem; max-height: 24rem; overflow: auto; white-space: pre-wrap;
  background: var(--page); border: 1px solid var(--line); border-radius: 6px;
}
.empty {
  margin-top: 1.5rem; padding: 1.5rem 2rem 2rem; background: var(--surface); border: 1px dashed var(--muted);
  border-radius: 8px;
}
.empty h2 { margin-top: 0; }
.empty pre { display: inline-block; max-width: 100%; }
@media (max-width: 62rem) {
  table, tbody, tr, td { display: block; }
  table { background: none; border: 0; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { margin-bottom: .75rem; background: var(--surface); border: 1px solid var(--line); border-radius: 8px; }
  tr:has(:target) { background: var(--marked); }
  td, td.duration {
    display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); padding: .25rem .75rem; border-top: 0;
    text-align: start;
  }
  td::before { content: attr(data-label); color: var(--muted); font-size: .8125rem; line-height: 1.85; }
  tr:has(:target) td::before { color: var(--text); }
  td > * { min-width: 0; }
  td small { display: inline; margin-inline-start: .375rem; }
  .flow small, .dag-run small { display: block; margin: 0; }
}
@media (max-width: 30rem) {
  dl { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  dl > :last-child { grid-column: span 2; }
  label, label:has(input) { flex: 1 1 100%; }
}
"""
