// SPDX-License-Identifier: Apache-2.0
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { formatDuration } from "@waggle/units";
import type { Config } from "../config/config.ts";
import { readHostIdentity } from "../host/identity.ts";
import type { StatusReport } from "../status/status-report.ts";
import { readCredential } from "../stream/credential.ts";
import { clockOffsetToleratedMs } from "../stream/server-clock.ts";
import type { CheckResult } from "./check-result.ts";

const group = "API";
const timeoutMs = 5_000;

/** Follows the way to the API step by step; a step that fails has the later ones skipped, as they would only repeat it. */
export async function checkConnection(config: Config, running: StatusReport | undefined): Promise<CheckResult[]> {
  const { host, port, encrypted } = config.api;
  const results: CheckResult[] = [];
  const skip = (...names: string[]): CheckResult[] => [
    ...results,
    ...names.map((name): CheckResult => ({ group, name, result: "SKIP", cause: "the step before failed", fix: "" })),
  ];
  const attempt = async (name: string, fix: string, step: () => Promise<string>): Promise<boolean> => {
    try {
      results.push({ group, name, result: "PASS", cause: await step(), fix: "" });
      return true;
    } catch (error) {
      results.push({ group, name, result: "FAIL", cause: describe(error as NodeJS.ErrnoException), fix });
      return false;
    }
  };

  const resolved = await attempt("name", `check the host in WAGGLE_AGENT_API_URL and the resolver (getent hosts ${host})`, async () => {
    if (isIP(host) !== 0) return `${host} is an address`;
    const addresses = await lookup(host, { all: true });
    return `${host} is ${addresses.map((entry) => entry.address).join(", ")}`;
  });
  if (!resolved) return skip("connection", "encryption", "credential", "clock");

  const connected = await attempt("connection", `check that the API is running and that a firewall lets ${host}:${port} through`, () =>
    reach(connectTcp({ host, port }), "connect", `${host}:${port}`),
  );
  if (!connected) return skip("encryption", "credential", "clock");

  if (!encrypted) {
    results.push({ group, name: "encryption", result: "SKIP", cause: "http:// is not encrypted", fix: "" });
  } else {
    const secured = await attempt("encryption", "set WAGGLE_AGENT_CA_FILE to the authority that signed the API's certificate", async () => {
      const ca = config.caFile === undefined ? undefined : readFileSync(config.caFile);
      const socket = connectTls({ host, port, ca, servername: isIP(host) === 0 ? host : undefined, ALPNProtocols: ["h2"] });
      return await reach(socket, "secureConnect", `TLS to ${host}:${port}`);
    });
    if (!secured) return skip("credential", "clock");
  }
  return [...results, ...(running === undefined ? await signIn(config) : judgeRunning(running))];
}

/** Says hello as this host and hears what the API says of its credential and its clock. Sends no window. */
async function signIn(config: Config): Promise<CheckResult[]> {
  const credential = readCredential(config.stateDirectory, readHostIdentity(config.hostRoot, config.stateDirectory).machineKey);
  if (credential === undefined) {
    const cause = "this host is not enrolled yet; the agent does that at its first start";
    return [
      { group, name: "credential", result: "SKIP", cause, fix: "" },
      { group, name: "clock", result: "SKIP", cause, fix: "" },
    ];
  }
  const { askServerTime } = await import("../stream/hello.ts");
  try {
    const { serverTimeMs, askedAtMs, answeredAtMs } = await askServerTime(config, credential, timeoutMs);
    const offsetMs = Math.round(serverTimeMs - (askedAtMs + answeredAtMs) / 2);
    return [
      { group, name: "credential", result: "PASS", cause: `accepted as ${credential.hostName}`, fix: "" },
      judgeClock(Math.abs(offsetMs) > clockOffsetToleratedMs ? offsetMs : 0),
    ];
  } catch (error) {
    return [
      {
        group,
        name: "credential",
        result: "FAIL",
        cause: (error as Error).message,
        fix: "if the credential is refused, put a new enrolment token into WAGGLE_AGENT_ENROLMENT_TOKEN_FILE; the agent enrols again by itself",
      },
      { group, name: "clock", result: "SKIP", cause: "the step before failed", fix: "" },
    ];
  }
}

/** Signing in beside a running agent would end its stream, so what the API thinks of credential and clock is taken from the agent. */
function judgeRunning({ stream }: StatusReport): CheckResult[] {
  const isRefused = stream.credential === "refused" || stream.credential === "missing";
  const credential: CheckResult =
    stream.connectedSinceMs !== undefined
      ? {
          group,
          name: "credential",
          result: "PASS",
          cause: `accepted; last acknowledgement ${stream.lastAckAtMs === undefined ? "none yet" : `${formatDuration((Date.now() - stream.lastAckAtMs) * 1e6)} ago`}`,
          fix: "",
        }
      : {
          group,
          name: "credential",
          result: isRefused ? "FAIL" : "WARN",
          cause: stream.lastError ?? "the agent is not connected yet",
          fix: "windows are kept on disk until the agent is connected",
        };
  return [credential, judgeClock(stream.clockOffsetMs)];
}

function judgeClock(offsetMs: number): CheckResult {
  if (offsetMs === 0) return { group, name: "clock", result: "PASS", cause: "agrees with the API's within 2 s", fix: "" };
  const cause = `is ${formatDuration(Math.abs(offsetMs) * 1e6)} ${offsetMs < 0 ? "ahead of" : "behind"} the API's`;
  return { group, name: "clock", result: "WARN", cause, fix: "windows are corrected by it; set the clock right (timedatectl set-ntp true)" };
}

function reach(socket: Socket, event: "connect" | "secureConnect", what: string): Promise<string> {
  const startedAtMs = performance.now();
  return new Promise<string>((resolve, reject) => {
    socket.once(event, () => resolve(`${what} in ${formatDuration((performance.now() - startedAtMs) * 1e6)}`));
    socket.once("error", reject);
    socket.setTimeout(timeoutMs, () => reject(new Error(`no answer from ${what} within ${timeoutMs / 1000} s`)));
  }).finally(() => socket.destroy());
}

function describe(error: NodeJS.ErrnoException): string {
  const words: Record<string, string> = {
    ECONNREFUSED: "nothing listens there",
    EHOSTUNREACH: "there is no route to the host",
    ENETUNREACH: "there is no route to the network",
    ENOTFOUND: "the name is unknown",
    EAI_AGAIN: "no name server answers",
    SELF_SIGNED_CERT_IN_CHAIN: "the certificate is signed by an authority that is not known here",
    DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is signed by itself",
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the certificate's authority is not known here",
    CERT_HAS_EXPIRED: "the certificate has expired",
  };
  const known = error.code === undefined ? undefined : words[error.code];
  return known === undefined ? error.message : `${known} (${error.code})`;
}
