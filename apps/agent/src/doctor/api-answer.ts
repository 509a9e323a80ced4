// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../config/config.ts";
import { readHostIdentity } from "../host/identity.ts";
import { readCredential } from "../stream/credential.ts";

/** What an API says of this host: of its credential by answering at all, of its clock, of what it takes. */
export interface ApiAnswer {
  readonly hostName: string;
  /** What the host's clock lacks to the API's, ms; and how long the question was under way. */
  readonly offsetMs: number;
  readonly roundTripMs: number;
  /** Version of the API; empty if it does not say. */
  readonly apiVersion: string;
  readonly refusedSignals: readonly { readonly signal: string; readonly reason: string }[];
}

export const API_MS_MAX = 5_000;

/** Says hello as this host and ends the stream after the answer. Sends no window. Throws an Error in words. */
export async function askApi(config: Config): Promise<ApiAnswer> {
  const credential = readCredential(config.stateDirectory, readHostIdentity(config.hostRoot, config.stateDirectory).machineKey);
  if (credential === undefined) throw new Error("this host is not enrolled yet; the agent does that at its first start");
  // gRPC is loaded only where it is wanted.
  const { sayHello } = await import("../stream/hello.ts");
  const { apiConfig, askedAtMs, answeredAtMs } = await sayHello(config, credential, API_MS_MAX);
  return {
    hostName: credential.hostName,
    offsetMs: Math.round(Number(apiConfig.serverTimeMs) - (askedAtMs + answeredAtMs) / 2),
    roundTripMs: answeredAtMs - askedAtMs,
    apiVersion: apiConfig.apiVersion ?? "",
    refusedSignals: apiConfig.refusedSignals,
  };
}
