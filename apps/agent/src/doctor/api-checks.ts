// SPDX-License-Identifier: Apache-2.0
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { connect as connectTls, type PeerCertificate, type TLSSocket } from "node:tls";
import { formatDuration } from "@waggle/units";
import { isLoopback, settings } from "../config/config.ts";
import { describeConnectionError } from "../stream/connection-problem.ts";
import { clockOffsetToleratedMs } from "../stream/server-clock.ts";
import { agentVersion } from "../version.ts";
import { API_MS_MAX } from "./api-answer.ts";
import { connectByProxy, connectDirectly, findProxy, settle } from "./api-socket.ts";
import { type CheckDefinition, fail, pass, skip, type Verdict, warn } from "./check.ts";
import type { DoctorFacts } from "./facts.ts";

/** A certificate that ends sooner than this is a warning. */
const CERTIFICATE_MS_MIN = 14 * 86_400_000;

/** The way to the API, step by step: a step that fails has the later ones skipped, as they would only repeat it. */
export const apiChecks: readonly CheckDefinition[] = [
  {
    id: "api-proxy",
    group: "API",
    title: "proxy",
    about:
      "Whether the agent's connection goes by a proxy (`grpc_proxy`, `https_proxy`, `http_proxy`, unless `no_grpc_proxy` or `no_proxy` names the API), and if so, whether the proxy lets it through.",
    usesNetwork: true,
    run: checkProxy,
  },
  {
    id: "api-name",
    group: "API",
    title: "name",
    about: "The name in `WAGGLE_AGENT_API_URL` has an address.",
    after: ["api-proxy"],
    usesNetwork: true,
    run: checkName,
  },
  {
    id: "api-connection",
    group: "API",
    title: "connection",
    about: "A TCP connection to the API within 5 s.",
    after: ["api-name"],
    usesNetwork: true,
    run: checkConnection,
  },
  {
    id: "api-tls",
    group: "API",
    title: "encryption",
    about:
      "The API's certificate is signed by an authority known here, names the API, and holds for two weeks more. `http://` beyond this machine is a warning.",
    after: ["api-connection"],
    usesNetwork: true,
    run: checkTls,
  },
  {
    id: "api-sign-in",
    group: "API",
    title: "sign-in",
    about:
      "The API takes this host's credential. Beside a running agent that agent is asked, as a second stream would end its own; else doctor says hello and leaves. No window is sent.",
    after: ["api-tls"],
    usesNetwork: true,
    run: checkSignIn,
  },
  {
    id: "api-ack",
    group: "API",
    title: "acknowledgement",
    about:
      "The running agent's windows are acknowledged: the last one within three windows, and how long it took. Without a running agent it cannot be told, as doctor sends no window.",
    after: ["api-sign-in"],
    usesNetwork: true,
    run: (facts) => {
      const { stream, windowMs } = facts.running;
      return judgeAck(stream, windowMs, Date.now());
    },
  },
  {
    id: "clock",
    group: "API",
    title: "clock",
    about: "This host's clock against the API's, as its hello was answered. Beyond 2 s windows are corrected by the difference.",
    after: ["api-sign-in"],
    usesNetwork: true,
    run: async (facts) => {
      if (facts.isRunning) return judgeClock(facts.running.stream.clockOffsetMs);
      const { offsetMs } = await facts.apiAnswer();
      return judgeClock(Math.abs(offsetMs) > clockOffsetToleratedMs ? offsetMs : 0);
    },
  },
  {
    id: "api-version",
    group: "API",
    title: "versions",
    about: "The API takes every signal as this version sends it (a signal has other columns in another version), and says its own version.",
    after: ["api-sign-in"],
    usesNetwork: true,
    run: async (facts) => {
      if (!facts.isRunning) {
        const { apiVersion, refusedSignals } = await facts.apiAnswer();
        return judgeVersion(
          apiVersion,
          refusedSignals.map(({ signal }) => signal),
        );
      }
      const { apiVersion, refusedSignals } = facts.running.stream;
      if (refusedSignals === undefined) return skip("the running agent has not heard from the API yet");
      return judgeVersion(apiVersion ?? "", refusedSignals);
    },
  },
];

/** Nobody said where the API is, and nothing was installed: a refused connection to the default address would say nothing. */
function assertAddressIsMeant(facts: DoctorFacts): void {
  if ((facts.environment[settings.api.variable] ?? "").trim() === "" && !facts.isInstalled)
    throw new Error(`${settings.api.variable} is not set and no agent is installed, so there is no API to ask`);
}

async function checkProxy(facts: DoctorFacts): Promise<Verdict> {
  const { api } = facts.config;
  assertAddressIsMeant(facts);
  const proxy = findProxy(api, facts.environment);
  if (proxy.url === null) return pass(proxy.why);
  const found = `${proxy.why}: ${proxy.url.host}`;
  try {
    const socket = await connectByProxy(proxy.url, api, API_MS_MAX);
    socket.destroy();
    return pass(`${found} lets ${api.host}:${api.port} through`);
  } catch (error) {
    return fail(
      found,
      describeConnectionError(error as NodeJS.ErrnoException),
      `allow CONNECT to ${api.host}:${api.port} in the proxy, or set no_proxy=${api.host}`,
    );
  }
}

async function checkName(facts: DoctorFacts): Promise<Verdict> {
  const { api } = facts.config;
  if (isIP(api.host) !== 0) return pass(`${api.host} is an address`);
  if (findProxy(api, facts.environment).url !== null) return pass("the proxy looks it up");
  try {
    const addresses = await settle(lookup(api.host, { all: true }), API_MS_MAX, `no name server answered for ${api.host}`);
    return pass(`${api.host} is ${addresses.map(({ address }) => address).join(", ")}`);
  } catch (error) {
    return fail(
      api.host,
      describeConnectionError(error as NodeJS.ErrnoException),
      `check the host in WAGGLE_AGENT_API_URL and the resolver (getent hosts ${api.host})`,
    );
  }
}

async function checkConnection(facts: DoctorFacts): Promise<Verdict> {
  const { api } = facts.config;
  const { url } = findProxy(api, facts.environment);
  if (url !== null) return pass(`by the proxy ${url.host}`);
  const startedAtMs = performance.now();
  try {
    const socket = await connectDirectly(api, API_MS_MAX);
    socket.destroy();
    return pass(`${api.host}:${api.port} in ${formatDuration((performance.now() - startedAtMs) * 1e6)}`);
  } catch (error) {
    return fail(
      `${api.host}:${api.port}`,
      describeConnectionError(error as NodeJS.ErrnoException),
      `check that the API is running and that a firewall lets ${api.host}:${api.port} through`,
    );
  }
}

async function checkTls(facts: DoctorFacts): Promise<Verdict> {
  const { api, caFile } = facts.config;
  if (!api.encrypted) {
    if (isLoopback(api.host)) return pass("http:// to this machine needs none");
    return warn(`http:// to ${api.host}`, "the credential and the data cross the network unencrypted", "use https:// in WAGGLE_AGENT_API_URL");
  }
  const fix = "set WAGGLE_AGENT_CA_FILE to the authority that signed the API's certificate";
  let ca: Buffer | undefined;
  try {
    ca = caFile === undefined ? undefined : readFileSync(caFile);
  } catch (error) {
    return fail(caFile ?? "", (error as Error).message, "let the agent's user read the file that WAGGLE_AGENT_CA_FILE names");
  }
  const { url } = findProxy(api, facts.environment);
  let socket: TLSSocket | undefined;
  try {
    const raw = url === null ? await connectDirectly(api, API_MS_MAX) : await connectByProxy(url, api, API_MS_MAX);
    const secured = connectTls({ socket: raw, ca, ...(isIP(api.host) === 0 ? { servername: api.host } : { host: api.host }), ALPNProtocols: ["h2"] });
    socket = secured;
    await settle(
      new Promise<void>((resolve, reject) => {
        secured.once("secureConnect", resolve);
        secured.once("error", reject);
      }),
      API_MS_MAX,
      `no answer from ${api.host}:${api.port}`,
    );
    return judgeCertificate(secured.getPeerCertificate(), secured.getProtocol() ?? "TLS", Date.now());
  } catch (error) {
    return fail(`${api.host}:${api.port}`, describeConnectionError(error as NodeJS.ErrnoException), fix);
  } finally {
    socket?.destroy();
  }
}

export function judgeCertificate({ issuer, valid_to }: Pick<PeerCertificate, "issuer" | "valid_to">, protocol: string, nowMs: number): Verdict {
  const leftMs = Date.parse(valid_to) - nowMs;
  const found = `${protocol}, signed by ${issuer?.O ?? issuer?.CN ?? "an authority without a name"}, valid for ${Math.floor(leftMs / 86_400_000)} days`;
  if (leftMs >= CERTIFICATE_MS_MIN) return pass(found);
  return warn(found, "when it ends, agents cannot connect and keep their windows on disk", "renew the API's certificate");
}

async function checkSignIn(facts: DoctorFacts): Promise<Verdict> {
  if (facts.isRunning) {
    const { stream } = facts.running;
    if (stream.connectedSinceMs !== undefined) return pass(`the running agent is signed in as ${stream.hostName}`);
    const why = stream.lastError ?? "no attempt has ended yet";
    if (stream.credential === "refused" || stream.credential === "missing")
      return fail(`credential ${stream.credential}`, why, "put a new enrolment token into the file that WAGGLE_AGENT_ENROLMENT_TOKEN_FILE names");
    return warn("the running agent is not connected", why, "look at waggle-agent status; windows are kept on disk meanwhile");
  }
  if (!facts.hasCredential) return skip("this host is not enrolled yet; the agent does that at its first start");
  try {
    const { hostName, roundTripMs } = await facts.apiAnswer();
    return pass(`accepted as ${hostName}, answered in ${formatDuration(roundTripMs * 1e6)}`);
  } catch (error) {
    return fail(
      "no hello was answered",
      (error as Error).message,
      "if the credential is refused, put a new enrolment token into WAGGLE_AGENT_ENROLMENT_TOKEN_FILE's file",
    );
  }
}

export function judgeAck(
  stream: { readonly lastAckAtMs?: number | undefined; readonly lastAckAfterMs?: number | undefined },
  windowMs: number,
  nowMs: number,
): Verdict {
  if (stream.lastAckAtMs === undefined) return skip("the running agent has no acknowledgement yet");
  const agoMs = Math.max(0, nowMs - stream.lastAckAtMs);
  const took = stream.lastAckAfterMs === undefined ? "" : `, which took ${formatDuration(stream.lastAckAfterMs * 1e6)}`;
  const found = `the last one ${formatDuration(agoMs * 1e6)} ago${took}`;
  // A report is up to a window old, and the newest window may still be under way.
  if (agoMs <= 3 * windowMs + 5_000) return pass(found);
  return warn(found, "windows wait on this host's disk", "look at waggle-agent status for what the API last said");
}

export function judgeClock(offsetMs: number): Verdict {
  if (offsetMs === 0) return pass("agrees with the API's within 2 s");
  const found = `${formatDuration(Math.abs(offsetMs) * 1e6)} ${offsetMs < 0 ? "ahead of" : "behind"} the API's`;
  return warn(found, "windows are corrected by it", "set the clock right (timedatectl set-ntp true)");
}

export function judgeVersion(apiVersion: string, refusedSignals: readonly string[]): Verdict {
  const found = `agent ${agentVersion}, API ${apiVersion === "" ? "does not say" : apiVersion}`;
  if (refusedSignals.length > 0)
    return warn(
      found,
      `the API does not take ${refusedSignals.join(", ")}, which have other columns there`,
      "bring both to one version, the API first",
    );
  if (apiVersion !== "" && apiVersion !== agentVersion) return pass(`${found}; every signal is taken all the same`);
  return pass(`${found}; every signal is taken`);
}
