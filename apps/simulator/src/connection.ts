// SPDX-License-Identifier: Apache-2.0
import { type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  type Config,
  type HostFacts,
  IngestServiceClient,
  type Refusal,
  type Snapshot,
  type StreamSnapshotsRequest,
  type StreamSnapshotsResponse,
} from "@waggle/proto";
import { catalogue, encodeBlock, schemaHash, type WireRow } from "@waggle/signals";
import type { SimulatedHost } from "./fleet.ts";

function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** One client for the whole fleet: its streams share a connection, as agents behind one proxy would. */
export function connect(address: string): IngestServiceClient {
  return new IngestServiceClient(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 1024 * 1024,
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 10_000,
  });
}

function factsOf(host: SimulatedHost): HostFacts {
  return {
    name: host.name,
    kernelRelease: "6.12.0-simulated",
    architecture: "x86_64",
    distribution: "Waggle simulator",
    cpuCount: 8,
    memoryBytes: 32n * 1024n ** 3n,
    agentVersion: "simulator",
    simulated: true,
  };
}

/** An API that takes a connection and says nothing is as good as away. */
const ANSWER_TIMEOUT_MS = 10_000;

/** Exchanges the enrolment token for the host's credential. Rejects with the gRPC error. */
export function enrol(client: IngestServiceClient, token: string, host: SimulatedHost): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + ANSWER_TIMEOUT_MS };
    client.enrolHost({ machineKey: host.machineKey, facts: factsOf(host) }, bearer(token), options, (error: ServiceError | null, answer) => {
      if (error) reject(error);
      else resolve(answer.credential);
    });
  });
}

export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.reason);
    this.refusal = refusal;
  }
}

/** One host's stream. `send` resolves when the API acknowledged the window, and rejects when it refused it or the stream ended. */
export class HostStream {
  readonly #call: ClientDuplexStream<StreamSnapshotsRequest, StreamSnapshotsResponse>;
  readonly #host: SimulatedHost;
  readonly #waiting = new Map<bigint, { resolve: () => void; reject: (error: Error) => void }>();
  #sequence = 0n;
  /** Why the stream is over; what is sent after it would never be answered. */
  #endedBy: Error | undefined;
  readonly ready: Promise<Config>;

  constructor(client: IngestServiceClient, credential: string, host: SimulatedHost, windowMs: number) {
    this.#host = host;
    this.#call = client.streamSnapshots(bearer(credential));
    this.ready = new Promise((resolve, reject) => {
      this.#call.on("data", (response: StreamSnapshotsResponse) => {
        const message = response.message;
        if (message?.$case === "config") {
          clearTimeout(silence);
          resolve(message.value);
        } else if (message?.$case === "ack") this.#settle(message.value.sequence, undefined);
        else if (message?.$case === "refusal") this.#settle(message.value.sequence, new RefusedError(message.value));
      });
      const ended = (error: Error): void => {
        clearTimeout(silence);
        this.#endedBy ??= error;
        reject(error);
        for (const sequence of [...this.#waiting.keys()]) this.#settle(sequence, error);
      };
      const silence = setTimeout(() => {
        this.#call.cancel();
        ended(new Error(`no answer to the Hello within ${ANSWER_TIMEOUT_MS / 1000} s`));
      }, ANSWER_TIMEOUT_MS);
      this.#call.on("error", ended);
      this.#call.on("end", () => ended(new Error("the API ended the stream")));
    });
    this.ready.catch(() => {});
    this.#call.write({
      message: {
        $case: "hello",
        value: {
          bootId: host.bootId,
          facts: factsOf(host),
          windowMs,
          signals: catalogue.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) })),
          firstUnacknowledgedSequence: 0n,
          hostTimeMs: BigInt(Date.now()),
        },
      },
    });
  }

  send(windowStartMs: number, windowMs: number, rows: ReadonlyMap<string, readonly WireRow[]>): Promise<void> {
    if (this.#endedBy !== undefined) return Promise.reject(this.#endedBy);
    const sequence = ++this.#sequence;
    const snapshot: Snapshot = {
      sequence,
      windowStartMs: BigInt(windowStartMs),
      windowMs,
      clockOffsetMs: 0n,
      windows: 1,
      bootId: this.#host.bootId,
      blocks: catalogue.map((signal) => {
        const block = encodeBlock(signal, rows.get(signal.name) ?? []);
        return { signal: signal.name, schemaHash: schemaHash(signal), rows: block.rows, columns: block.columns.map((column) => Buffer.from(column)) };
      }),
    };
    return new Promise((resolve, reject) => {
      this.#waiting.set(sequence, { resolve, reject });
      this.#call.write({ message: { $case: "snapshot", value: snapshot } });
    });
  }

  close(): void {
    this.#call.end();
  }

  #settle(sequence: bigint, error: Error | undefined): void {
    const waiter = this.#waiting.get(sequence);
    this.#waiting.delete(sequence);
    if (error === undefined) waiter?.resolve();
    else waiter?.reject(error);
  }
}
