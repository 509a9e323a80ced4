// SPDX-License-Identifier: Apache-2.0
import type { ServiceError } from "@grpc/grpc-js";
import { type Config as ApiConfig, StreamSnapshotsRequest, type StreamSnapshotsResponse } from "@waggle/proto";
import { hostSignals, schemaHash } from "@waggle/signals";
import type { Config } from "../config/config.ts";
import { readHostFacts } from "../host/facts.ts";
import { readHostIdentity } from "../host/identity.ts";
import { createIngestClient, openSnapshotStream, waitForConnection } from "./client.ts";
import type { Credential } from "./credential.ts";

export interface HelloAnswer {
  readonly apiConfig: ApiConfig;
  /** This host's wall clock before and after, Unix milliseconds. */
  readonly askedAtMs: number;
  readonly answeredAtMs: number;
}

/**
 * Opens a stream as this host, says hello, and ends it after the answer; for a doctor beside no running agent, as the API ends the older of two streams of a
 * host. Throws an Error in words: not reachable, credential refused, no answer.
 */
export async function sayHello(config: Config, credential: Credential, timeoutMs: number): Promise<HelloAnswer> {
  const client = createIngestClient(config.api, config.caFile);
  try {
    await waitForConnection(client, config.api, timeoutMs);
    return await new Promise((resolve, reject) => {
      const stream = openSnapshotStream(client, credential.credential);
      const timer = setTimeout(() => reject(new Error(`the API did not answer the hello within ${timeoutMs / 1000} s`)), timeoutMs);
      const askedAtMs = Date.now();
      stream.on("data", ({ message }: StreamSnapshotsResponse) => {
        if (message?.$case !== "config") return;
        clearTimeout(timer);
        resolve({ apiConfig: message.value, askedAtMs, answeredAtMs: Date.now() });
        stream.cancel();
      });
      stream.on("error", (error: ServiceError) => {
        clearTimeout(timer);
        reject(new Error(error.details));
      });
      const identity = readHostIdentity(config.hostRoot, config.stateDirectory);
      const signals = hostSignals.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) }));
      const hello = {
        bootId: identity.bootId,
        facts: readHostFacts(config.hostRoot, config.tags),
        windowMs: config.windowMs,
        signals,
        firstUnacknowledgedSequence: 0n,
        hostTimeMs: BigInt(askedAtMs),
      };
      stream.write(StreamSnapshotsRequest.encode({ message: { $case: "hello", value: hello } }).finish());
    });
  } finally {
    client.close();
  }
}
