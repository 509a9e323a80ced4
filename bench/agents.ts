// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import {
  type Config,
  EnrolHostRequest,
  EnrolHostResponse,
  type HostFacts,
  Snapshot,
  StreamSnapshotsRequest,
  StreamSnapshotsResponse,
} from "../packages/proto/src/index.ts";
import { catalogue, encodeBlock, getSignalOrThrow, schemaHash, type WireRow, writeVarint } from "../packages/signals/src/index.ts";

/**
 * Agents that cost next to nothing, so that a benchmark measures who receives: frames are encoded once and only their head is written
 * anew, and the gRPC messages go over plain HTTP/2 streams.
 */

const SERVICE = "/waggle.ingest.v1.IngestService";
/** Of a gRPC message: a flag and four bytes of length. */
const PREFIX_BYTES = 5;
const SNAPSHOT_FIELD = 0x12;

/** What every frame of a host has in common, ready for the wire. */
export interface FrameBody {
  readonly bytes: Buffer;
  readonly rows: number;
}

/** Encodes the rows of a window once. */
export function encodeFrameBody(rows: ReadonlyMap<string, readonly WireRow[]>, windowMs: number): FrameBody {
  let count = 0;
  const blocks = [...rows].map(([name, values]) => {
    const signal = getSignalOrThrow(name);
    const block = encodeBlock(signal, values);
    count += block.rows;
    return { signal: name, schemaHash: schemaHash(signal), rows: block.rows, columns: block.columns.map((column) => Buffer.from(column)) };
  });
  const snapshot: Snapshot = { sequence: 0n, windowStartMs: 0n, windowMs, clockOffsetMs: 0n, bootId: "bench", blocks, windows: 1 };
  return { bytes: Buffer.from(Snapshot.encode(snapshot).finish()), rows: count };
}

/** One gRPC message with a snapshot: sequence and start in front of the common rest, whose fields they precede. */
export function frameMessage(body: FrameBody, sequence: number, windowStartMs: number): Buffer {
  const head = Buffer.alloc(24);
  head[0] = 0x08;
  let headBytes = writeVarint(head, 1, sequence);
  head[headBytes] = 0x10;
  headBytes = writeVarint(head, headBytes + 1, windowStartMs);
  const snapshotBytes = headBytes + body.bytes.length;
  const out = Buffer.allocUnsafe(PREFIX_BYTES + 6 + snapshotBytes);
  out[PREFIX_BYTES] = SNAPSHOT_FIELD;
  let at = writeVarint(out, PREFIX_BYTES + 1, snapshotBytes);
  at += head.copy(out, at, 0, headBytes);
  at += body.bytes.copy(out, at);
  out[0] = 0;
  out.writeUInt32BE(at - PREFIX_BYTES, 1);
  return out.subarray(0, at);
}

function grpcMessage(bytes: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(PREFIX_BYTES + bytes.length);
  out[0] = 0;
  out.writeUInt32BE(bytes.length, 1);
  out.set(bytes, PREFIX_BYTES);
  return out;
}

function open(session: ClientHttp2Session, method: string, token: string): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": `${SERVICE}/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    authorization: `Bearer ${token}`,
  });
  return stream;
}

/** Opens a connection of its own. */
export async function connectTo(address: string): Promise<ClientHttp2Session> {
  const session = connect(`http://${address}`);
  await once(session, "connect");
  return session;
}

export interface BenchHost {
  readonly name: string;
  readonly machineKey: string;
  readonly bootId: string;
}

function factsOf(host: BenchHost): HostFacts {
  return {
    name: host.name,
    kernelRelease: "6.12.0-simulated",
    architecture: "x86_64",
    distribution: "benchmark",
    cpuCount: 8,
    memoryBytes: 32n * 1_024n ** 3n,
    agentVersion: "bench",
    simulated: true,
    tags: {},
  };
}

/** Exchanges the enrolment token for the host's credential. */
export async function enrol(session: ClientHttp2Session, token: string, host: BenchHost): Promise<string> {
  const stream = open(session, "EnrolHost", token);
  stream.end(grpcMessage(EnrolHostRequest.encode({ machineKey: host.machineKey, facts: factsOf(host) }).finish()));
  let credential: string | undefined;
  readMessages(stream, (bytes) => {
    credential = EnrolHostResponse.decode(bytes).credential;
  });
  let status = "";
  stream.on("trailers", (trailers) => {
    status = `${trailers["grpc-status"]} ${trailers["grpc-message"]}`;
  });
  await once(stream, "close");
  if (credential === undefined) throw new Error(`${host.name} could not be enrolled: ${status}`);
  return credential;
}

function readMessages(stream: ClientHttp2Stream, take: (bytes: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + rest.readUInt32BE(1);
      if (rest.length < end) return;
      take(rest.subarray(PREFIX_BYTES, end));
      rest = rest.subarray(end);
    }
  });
}

/** One host's stream. Every answer to a frame is told with the time since it was sent. */
export class BenchAgent {
  readonly ready: Promise<Config>;
  /** Of the frames sent so far, how many have no answer yet. */
  inFlight = 0;
  onAnswer: (answer: "ack" | "retry" | "refused", milliseconds: number, sequence: number) => void = () => {};
  onEnd: (why: string) => void = () => {};
  private readonly stream: ClientHttp2Stream;
  private readonly sentAt = new Map<number, number>();
  private sequence = 0;

  constructor(session: ClientHttp2Session, credential: string, host: BenchHost, windowMs: number) {
    this.stream = open(session, "StreamSnapshots", credential);
    this.ready = new Promise((resolve, reject) => {
      readMessages(this.stream, (bytes) => {
        const { message } = StreamSnapshotsResponse.decode(bytes);
        if (message?.$case === "config") resolve(message.value);
        else if (message?.$case === "ack") this.settle("ack", Number(message.value.sequence));
        else if (message?.$case === "refusal") this.settle(message.value.retry ? "retry" : "refused", Number(message.value.sequence));
      });
      let why = "closed";
      this.stream.on("trailers", (trailers) => {
        why = `${trailers["grpc-status"]} ${trailers["grpc-message"]}`;
      });
      this.stream.on("error", (error) => {
        why = error.message;
      });
      this.stream.on("close", () => {
        this.onEnd(why);
        reject(new Error(`the stream of ${host.name} ended: ${why}`));
      });
    });
    this.ready.catch(() => {});
    const value = {
      bootId: host.bootId,
      facts: factsOf(host),
      windowMs,
      signals: catalogue.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) })),
      firstUnacknowledgedSequence: 0n,
      hostTimeMs: BigInt(Date.now()),
    };
    this.stream.write(grpcMessage(StreamSnapshotsRequest.encode({ message: { $case: "hello", value } }).finish()));
  }

  /** Sends a frame; `ready` first. @returns its sequence */
  send(body: FrameBody, windowStartMs: number): number {
    const sequence = ++this.sequence;
    this.inFlight++;
    this.sentAt.set(sequence, performance.now());
    this.stream.write(frameMessage(body, sequence, windowStartMs));
    return sequence;
  }

  /** Says how the agent is, as agents do with every window. */
  sendStatus(): void {
    const value = {
      spoolFrames: BigInt(this.inFlight),
      spoolBytes: 0n,
      refusedFrames: 0n,
      droppedFrames: 0n,
      clockOffsetMs: 0n,
      startedAtMs: 0n,
      coarsenedWindows: 0n,
      hours: [],
      settings: undefined,
    };
    this.stream.write(grpcMessage(StreamSnapshotsRequest.encode({ message: { $case: "status", value } }).finish()));
  }

  close(): void {
    this.onEnd = () => {};
    this.stream.close();
  }

  private settle(answer: "ack" | "retry" | "refused", sequence: number): void {
    const sentAt = this.sentAt.get(sequence);
    if (sentAt === undefined) return;
    this.sentAt.delete(sequence);
    this.inFlight--;
    this.onAnswer(answer, performance.now() - sentAt, sequence);
  }
}
