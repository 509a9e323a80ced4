// SPDX-License-Identifier: Apache-2.0
import { type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  type Config,
  type HostFacts,
  IngestServiceClient,
  IngestServiceService,
  type Refusal,
  type Status,
  StreamSnapshotsRequest,
  type StreamSnapshotsResponse,
  type Throttle,
} from "@waggle/proto";
import { hostSignals, schemaHash } from "@waggle/signals";
import { CPUS, MEMORY_BYTES, type SimulatedHost } from "./fleet.ts";

function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** A connection of its own to one API node; the streams opened on it share it, as agents behind one proxy would. */
export function connect(address: string): IngestServiceClient {
  return new IngestServiceClient(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 1024 * 1024,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    // Two clients of one address would otherwise share a connection.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_channelz": 0,
    "grpc.enable_retries": 0,
    "grpc.service_config_disable_resolution": 1,
  });
}

function factsOf(host: SimulatedHost): HostFacts {
  return {
    name: host.name,
    kernelRelease: "6.12.0-simulated",
    architecture: "x86_64",
    distribution: "Waggle simulator",
    cpuCount: CPUS,
    memoryBytes: BigInt(MEMORY_BYTES),
    agentVersion: "simulator",
    simulated: true,
    tags: host.tags,
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

const signals = hostSignals.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) }));

export interface StreamHandlers {
  /** The API took the Hello, or changed its mind about what it wants. */
  onConfig(config: Config): void;
  onAck(sequence: bigint): void;
  onRefusal(refusal: Refusal): void;
  onThrottle?(throttle: Throttle): void;
  /** Once; nothing follows, and what is not answered by now never will be. */
  onEnd(error: Error): void;
}

export interface StreamOptions {
  readonly client: IngestServiceClient;
  readonly credential: string;
  readonly host: SimulatedHost;
  readonly windowMs: number;
  /** What the host adds to its clock to get the right time. */
  readonly clockOffsetMs?: number;
}

/** One host's stream. Says Hello as it opens; snapshots go out as the bytes that `FrameEncoder` made. */
export class HostStream {
  readonly #call: ClientDuplexStream<Uint8Array, StreamSnapshotsResponse>;
  readonly #handlers: StreamHandlers;
  #isEnded = false;

  constructor({ client, credential, host, windowMs, clockOffsetMs = 0 }: StreamOptions, handlers: StreamHandlers) {
    this.#handlers = handlers;
    const { path, responseDeserialize } = IngestServiceService.streamSnapshots;
    this.#call = client.makeBidiStreamRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      responseDeserialize,
      bearer(credential),
    );
    const silence = setTimeout(() => this.#end(new Error(`no answer to the Hello within ${ANSWER_TIMEOUT_MS / 1000} s`)), ANSWER_TIMEOUT_MS);
    this.#call.on("data", ({ message }: StreamSnapshotsResponse) => {
      if (this.#isEnded) return;
      switch (message?.$case) {
        case "config":
          clearTimeout(silence);
          return handlers.onConfig(message.value);
        case "ack":
          return handlers.onAck(message.value.sequence);
        case "refusal":
          return handlers.onRefusal(message.value);
        case "throttle":
          return handlers.onThrottle?.(message.value);
      }
    });
    const ended = (error: Error): void => {
      clearTimeout(silence);
      this.#end(error);
    };
    this.#call.on("error", ended);
    this.#call.on("end", () => ended(new Error("the API ended the stream")));
    this.#write({
      message: {
        $case: "hello",
        value: {
          bootId: host.bootId,
          facts: factsOf(host),
          windowMs,
          signals,
          firstUnacknowledgedSequence: 0n,
          hostTimeMs: BigInt(Date.now() - clockOffsetMs),
        },
      },
    });
  }

  /** Sends an encoded StreamSnapshotsRequest. Returns false when the connection wants to be spared until `onDrain`. */
  send(request: Buffer): boolean {
    return this.#isEnded ? false : this.#call.write(request);
  }

  sendStatus(status: Status): void {
    this.#write({ message: { $case: "status", value: status } });
  }

  /** Says that nothing more follows; answers still arrive. */
  close(): void {
    this.#call.end();
  }

  /** Breaks the stream off, as a lost connection would. */
  cancel(): void {
    this.#end(new Error("cut"));
  }

  #write(request: StreamSnapshotsRequest): void {
    if (!this.#isEnded) this.#call.write(StreamSnapshotsRequest.encode(request).finish());
  }

  #end(error: Error): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#call.cancel();
    this.#handlers.onEnd(error);
  }
}
