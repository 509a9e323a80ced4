// SPDX-License-Identifier: Apache-2.0
import { randomBytes, randomUUID } from "node:crypto";
import { type ClientDuplexStream, credentials, Metadata, makeGenericClientConstructor, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import {
  EnrolHostRequest,
  type EnrolHostResponse,
  type Hello,
  type HostFacts,
  IngestServiceService,
  type Snapshot,
  type Status,
  StreamSnapshotsRequest,
  type StreamSnapshotsResponse,
} from "@waggle/proto";
import { catalogue, encodeBlock, getSignalOrThrow, schemaHash, type WireRow } from "@waggle/signals";

/** The generated client, except that requests are bytes: a test must be able to send what no honest client can encode. */
const RawClient = makeGenericClientConstructor(
  {
    enrolHost: { ...IngestServiceService.enrolHost, requestSerialize: (bytes: Buffer) => bytes },
    streamSnapshots: { ...IngestServiceService.streamSnapshots, requestSerialize: (bytes: Buffer) => bytes },
  },
  "waggle.ingest.v1.IngestService",
);

type Answer = NonNullable<StreamSnapshotsResponse["message"]>;
export type AnswerOf<Case extends Answer["$case"]> = Extract<Answer, { $case: Case }>["value"];

export const facts = (name: string, tags: Record<string, string> = {}): HostFacts => ({
  name,
  kernelRelease: "6.1.0-test",
  architecture: "x86_64",
  distribution: "Debian GNU/Linux 12",
  cpuCount: 4,
  memoryBytes: 8n * 1_024n ** 3n,
  agentVersion: "0.1.0",
  simulated: false,
  tags,
});

function bearer(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** A connection to the ingest server on loopback. */
export class TestIngest {
  private readonly client: InstanceType<typeof RawClient>;

  constructor(port: number) {
    this.client = new RawClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": 100,
    });
  }

  enrol(
    enrolmentToken: string | undefined,
    name: string,
    machineKey = randomBytes(32).toString("hex"),
    tags: Record<string, string> = {},
  ): Promise<EnrolHostResponse> {
    return this.enrolRaw(enrolmentToken, Buffer.from(EnrolHostRequest.encode({ machineKey, facts: facts(name, tags) }).finish()));
  }

  enrolRaw(enrolmentToken: string | undefined, bytes: Buffer): Promise<EnrolHostResponse> {
    return new Promise((resolve, reject) => {
      const call = this.client["enrolHost"] as (
        bytes: Buffer,
        metadata: Metadata,
        done: (error: ServiceError | null, value: EnrolHostResponse) => void,
      ) => void;
      call.call(this.client, bytes, bearer(enrolmentToken), (error, value) => (error === null ? resolve(value) : reject(error)));
    });
  }

  /** Opens a stream; says nothing on it yet. */
  open(credential: string | undefined): TestStream {
    const call = this.client["streamSnapshots"] as (metadata: Metadata) => ClientDuplexStream<Buffer, StreamSnapshotsResponse>;
    return new TestStream(call.call(this.client, bearer(credential)));
  }

  /** Opens a stream and says Hello. */
  async connect(credential: string): Promise<TestStream> {
    const stream = this.open(credential);
    stream.hello();
    await stream.next("config");
    return stream;
  }

  close(): void {
    this.client.close();
  }
}

/** One stream: messages out, answers in the order they came, and the status it ended with. */
export class TestStream {
  /** Resolves when the stream has ended, whichever side ended it. */
  readonly ended: Promise<StatusObject>;
  private readonly call: ClientDuplexStream<Buffer, StreamSnapshotsResponse>;
  private readonly answers: Answer[] = [];
  private readonly waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  private endStatus: StatusObject | undefined;

  constructor(call: ClientDuplexStream<Buffer, StreamSnapshotsResponse>) {
    this.call = call;
    call.on("error", () => {});
    call.on("data", ({ message }: StreamSnapshotsResponse) => {
      if (message === undefined) return;
      const waiter = this.waiting.shift();
      if (waiter === undefined) this.answers.push(message);
      else waiter.resolve(message);
    });
    this.ended = new Promise((resolve) => {
      call.on("status", (status: StatusObject) => {
        this.endStatus = status;
        for (const waiter of this.waiting.splice(0)) waiter.reject(new Error(`the stream ended: ${status.code} ${status.details}`));
        resolve(status);
      });
    });
  }

  /** The next answer, which must be of this case. */
  async next<Case extends Answer["$case"]>(expected: Case): Promise<AnswerOf<Case>> {
    const answer = await this.nextAny();
    if (answer.$case !== expected) {
      const text = JSON.stringify(answer.value, (_, value) => (typeof value === "bigint" ? String(value) : value));
      throw new Error(`expected ${expected}, got ${answer.$case} ${text}`);
    }
    return answer.value as AnswerOf<Case>;
  }

  /** The next answer, whatever it is. */
  async nextAny(): Promise<Answer> {
    const answer = this.answers.shift();
    if (answer !== undefined) return answer;
    return new Promise<Answer>((resolve, reject) => {
      if (this.endStatus !== undefined) reject(new Error(`the stream ended: ${this.endStatus.code} ${this.endStatus.details}`));
      else this.waiting.push({ resolve, reject });
    });
  }

  /** True if an answer has come that nobody has asked for yet. */
  get hasAnswer(): boolean {
    return this.answers.length > 0;
  }

  sendRaw(bytes: Buffer): void {
    this.call.write(bytes);
  }

  send(message: NonNullable<StreamSnapshotsRequest["message"]>): void {
    this.sendRaw(Buffer.from(StreamSnapshotsRequest.encode({ message }).finish()));
  }

  hello(changes: Partial<Hello> = {}): void {
    this.send({
      $case: "hello",
      value: {
        bootId: randomUUID(),
        facts: facts("any"),
        windowMs: 10_000,
        signals: catalogue.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) })),
        firstUnacknowledgedSequence: 0n,
        hostTimeMs: BigInt(Date.now()),
        ...changes,
      },
    });
  }

  snapshot(snapshot: Snapshot): void {
    this.send({ $case: "snapshot", value: snapshot });
  }

  status(status: Status): void {
    this.send({ $case: "status", value: status });
  }

  /** Says that nothing more comes. */
  halfClose(): void {
    this.call.end();
  }

  cancel(): void {
    this.call.cancel();
  }
}

export type Rows = Readonly<Record<string, readonly WireRow[]>>;

/** The start of the window `back` full windows before the current one, Unix milliseconds, aligned to 10 s. */
export function windowStart(back: number): number {
  return Math.floor(Date.now() / 10_000) * 10_000 - back * 10_000;
}

/** A snapshot with these rows; its coverage says `exact` for every signal of the catalogue. */
export function makeSnapshot(sequence: number, windowStartMs: number, rows: Rows, changes: Partial<Snapshot> = {}): Snapshot {
  const coverage = catalogue.map((signal) => ({ signal: signal.name, state: "exact", reason: "", windows: 1 }));
  const blocks = Object.entries({ agent_coverage: coverage, ...rows }).map(([name, signalRows]) => {
    const signal = getSignalOrThrow(name);
    const block = encodeBlock(signal, signalRows as readonly WireRow[]);
    return { signal: name, schemaHash: schemaHash(signal), rows: block.rows, columns: block.columns.map((column) => Buffer.from(column)) };
  });
  return {
    sequence: BigInt(sequence),
    windowStartMs: BigInt(windowStartMs),
    windowMs: 10_000,
    clockOffsetMs: 0n,
    bootId: "boot",
    windows: 1,
    blocks,
    ...changes,
  };
}

/** A row of tcp_retransmits whose dimensions do not matter. */
export function retransmits(segments: number, process = "curl"): WireRow {
  return {
    process,
    unit: "",
    role: "client",
    peer: "192.0.2.1",
    peer_port: "443",
    port: "ephemeral",
    class: "fast",
    segments,
    bytes: segments * 1_448,
  };
}
