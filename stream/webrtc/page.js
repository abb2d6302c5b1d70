/* What both pages do: show a state, send the token along, hold one session. Each page has its own `connect` and `again(error)`.
   `routes.py` puts it into them. */
"use strict";
const $ = id => document.getElementById(id);
const name = decodeURIComponent(location.pathname.split("/").filter(Boolean).pop());
let pc = null, session = null, pause = 1000, timer = 0;

$("name").textContent = name;
$("token").value = new URLSearchParams(location.hash.slice(1)).get("token") || "";

function tell(is, text) { $("state").dataset.is = is; $("state").textContent = text; }
function headers(more) {
  const token = $("token").value.trim();
  return token ? { ...more, Authorization: "Bearer " + token } : more;
}

/* Offer `mine` to `/whip/` or `/whep/`, and take the answer; `end` is its sender or receiver. */
async function negotiate(mine, kind, end) {
  await mine.setLocalDescription();
  const endpoint = location.pathname.replace(/\/[^/]*\/[^/]*\/?$/, "") + `/${kind}/` + encodeURIComponent(name);
  const answer = await fetch(endpoint, { method: "POST", headers: headers({ "Content-Type": "application/sdp" }), body: mine.localDescription.sdp });
  if (answer.status !== 201) throw await refused(answer);
  session = new URL(answer.headers.get("Location"), location.href).href;
  await mine.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  const transport = end.transport;
  if (transport) transport.onstatechange = () => mine === pc && transport.state === "closed" && again(new Error("The service ended the session"));
}

async function refused(answer) {
  let text = "Refused with status " + answer.status;
  try { text = (await answer.json()).error.message; } catch (_) { /* not ours: the status must do */ }
  return Object.assign(new Error(text), { status: answer.status });
}

/* Connect again in a while, each time a longer one. */
function retry(longest) {
  timer = setTimeout(() => connect().catch(again), pause * (0.5 + Math.random() / 2));
  pause = Math.min(2 * pause, longest);
}

function drop(tellService) {
  clearTimeout(timer);
  const old = pc, told = session;
  pc = session = null;
  if (old) old.onconnectionstatechange = null;
  const asked = told && tellService ? fetch(told, { method: "DELETE", headers: headers({}), keepalive: true }) : Promise.resolve();
  asked.catch(() => {}).then(() => old && old.close());
  $("figures").textContent = "";
}

/* Once a second: size, rate and bits of the video. `count` names its counter of bytes; `look` gets the figures, and those before. */
function showFigures(type, count, look) {
  let before = null;
  setInterval(async () => {
    if (!pc || pc.connectionState !== "connected") { before = null; $("figures").textContent = ""; return; }
    for (const each of (await pc.getStats()).values()) {
      if (each.type !== type || each.kind !== "video") continue;
      const rate = before ? 8 * (each[count] - before[count]) / (each.timestamp - before.timestamp) : 0;
      $("figures").textContent = `${each.frameWidth || 0} x ${each.frameHeight || 0}  ${Math.round(each.framesPerSecond || 0)} fps  ${Math.round(rate)} kbit/s`;
      if (look && before) look(each, before);
      before = each;
    }
  }, 1000);
}
