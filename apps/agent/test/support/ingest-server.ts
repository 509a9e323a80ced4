// SPDX-License-Identifier: Apache-2.0
import { status as grpcStatus, Metadata, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import {
  type Config,
  type EnrolHostRequest,
  type Hello,
  IngestServiceService,
  type Refusal,
  type Snapshot,
  type Status,
  type StreamSnapshotsRequest,
  type StreamSnapshotsResponse,
} from "@waggle/proto";

type Call = ServerDuplexStream<StreamSnapshotsRequest, StreamSnapshotsResponse>;

/** What to do with a snapshot: acknowledge, refuse, leave unanswered, or end the stream with a status. */
export type Verdict = "ack" | "silence" | Partial<Refusal> | { end: number };

/** A small API that speaks the real protocol and does to snapshots what a test tells it to. */
export class IngestServer {
  readonly hellos: Hello[] = [];
  readonly statuses: Status[] = [];
  /** Every snapshot that arrived, in order, repetitions included. */
  readonly received: Snapshot[] = [];
  /** What a store would hold: snapshots that were acknowledged. */
  readonly acknowledged: Snapshot[] = [];
  readonly enrolments: EnrolHostRequest[] = [];
  readonly validTokens = new Set(["wgl_enr_good"]);
  readonly validCredentials = new Set<string>();
  config: Partial<Config> = {};
  clockMs: () => number = Date.now;
  verdict: (snapshot: Snapshot, server: IngestServer) => Verdict = () => "ack";
  port = 0;
  /** How the server identifies itself; plaintext unless set before `start`. */
  credentials = ServerCredentials.createInsecure();
  #server: Server | undefined;
  readonly #calls = new Set<Call>();

  async start(port = 0): Promise<this> {
    const server = new Server({ "grpc.max_receive_message_length": 8 * 1024 * 1024 });
    server.addService(IngestServiceService, {
      enrolHost: (call: { request: EnrolHostRequest; metadata: Metadata }, callback: (error: object | null, value?: object) => void) => {
        if (!this.validTokens.has(tokenOf(call.metadata))) return callback({ code: grpcStatus.UNAUTHENTICATED, details: "token is unknown" });
        this.enrolments.push(call.request);
        const credential = `wgl_hst_${this.enrolments.length}`;
        this.validCredentials.clear();
        this.validCredentials.add(credential);
        callback(null, { hostId: "host-1", hostName: "test-host", credential });
      },
      streamSnapshots: (call: Call) => this.#converse(call),
    });
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, this.credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
    this.#server = server;
    return this;
  }

  /** Dies without a word, as by kill -9. */
  async stop(): Promise<void> {
    this.#server?.forceShutdown();
    this.#server = undefined;
    this.#calls.clear();
  }

  endStreams(code: number, details: string): void {
    for (const call of this.#calls) call.emit("error", Object.assign(new Error(details), { code, details, metadata: new Metadata() }));
    this.#calls.clear();
  }

  send(message: NonNullable<StreamSnapshotsResponse["message"]>): void {
    for (const call of this.#calls) call.write({ message });
  }

  /** Tells every connected agent another Config, and those that connect later. */
  reconfigure(config: Partial<Config>): void {
    this.config = config;
    this.send({ $case: "config", value: this.#wholeConfig() });
  }

  #wholeConfig(): Config {
    return {
      serverTimeMs: BigInt(this.clockMs()),
      windowMs: 0,
      frameBytesMax: 4_194_304,
      framesInFlightMax: 4,
      refusedSignals: [],
      rowsMax: 0,
      backlogInFlightMax: 0,
      settings: undefined,
      ...this.config,
    };
  }

  acknowledge(snapshot: Snapshot): void {
    this.acknowledged.push(snapshot);
    this.send({ $case: "ack", value: { sequence: snapshot.sequence } });
  }

  sequences(snapshots: readonly Snapshot[] = this.received): number[] {
    return snapshots.map((snapshot) => Number(snapshot.sequence));
  }

  #converse(call: Call): void {
    const end = (code: number, details: string) => {
      this.#calls.delete(call);
      call.emit("error", Object.assign(new Error(details), { code, details, metadata: new Metadata() }));
    };
    call.on("error", () => this.#calls.delete(call));
    call.on("end", () => {
      this.#calls.delete(call);
      call.end();
    });
    if (!this.validCredentials.has(tokenOf(call.metadata))) {
      end(grpcStatus.UNAUTHENTICATED, "credential is unknown");
      return;
    }
    call.on("data", ({ message }: StreamSnapshotsRequest) => {
      if (message?.$case === "hello") {
        this.hellos.push(message.value);
        this.#calls.add(call);
        call.write({ message: { $case: "config", value: this.#wholeConfig() } });
      }
      if (message?.$case === "status") this.statuses.push(message.value);
      if (message?.$case !== "snapshot") return;
      const snapshot = message.value;
      this.received.push(snapshot);
      const verdict = this.verdict(snapshot, this);
      if (verdict === "ack") this.acknowledge(snapshot);
      else if (verdict === "silence") return;
      else if ("end" in verdict) end(verdict.end, "told to");
      else
        this.send({
          $case: "refusal",
          value: { sequence: snapshot.sequence, status: 0, code: 0, reason: "", retry: false, serverTimeMs: 0n, ...verdict },
        });
    });
  }
}

function tokenOf(metadata: Metadata): string {
  return String(metadata.get("authorization")[0] ?? "").replace(/^Bearer /, "");
}
