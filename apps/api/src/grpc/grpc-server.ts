// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { BufferPool } from "../common/buffer-pool.ts";
import type { Log } from "../common/log.ts";
import { type CallServices, type Connection, type GrpcCall, Http2Call } from "./grpc-call.ts";
import { GrpcStatus, parseTimeoutMs } from "./grpc-status.ts";
import { PartialMemory } from "./message-reader.ts";
import { UNREAD_BYTES_MIN } from "./unread-bytes.ts";

const PARTIAL_BYTES_MAX_DEFAULT = 64 * 1_024 * 1_024;
/** Free memory kept for calls that are not read from; hundreds of busy ones use it together. */
const UNREAD_POOL_BYTES_MAX = 16 * 1_024 * 1_024;
/** A balancer brings many hosts over one connection; what lies beyond is no fleet. */
const CALLS_PER_CONNECTION_MAX = 20_000;
/** Calls of one connection read side by side: one that is not read from holds up to 64 KiB of this. */
const CONNECTION_WINDOW_BYTES = 1_024 * 1_024;
/** MB that Node.js may hold for a session before it refuses further calls; its default of 10 is for browsers. */
const SESSION_MEMORY_MB = 1_000;
const REVIEW_INTERVAL_MS = 5_000;
/** A host that vanished without a word is noticed after 40 to 50 s. */
const PING_AFTER_MS = 30_000;
const PING_TIMEOUT_MS = 10_000;
/** Whoever connects has something to ask. */
const FIRST_CALL_MS = 30_000;
const IDLE_MS = 300_000;
/** For the other side to read how a call ended. */
const END_UNREAD_MS = 5_000;
const TLS_HANDSHAKE_MS = 10_000;

export interface GrpcServerOptions {
  readonly tls: { readonly certificate: Buffer; readonly key: Buffer } | null;
  /** Of one message; a longer one ends its call before any memory is taken for it. */
  readonly messageBytesMax: number;
  /** Of messages that have arrived in part, over all connections; beyond it whoever waits longest is sent away. */
  readonly partialBytesMax?: number;
  /** By path, such as `/waggle.ingest.v1.IngestService/EnrolHost`. Each must listen to its call or end it. */
  readonly methods: ReadonlyMap<string, (call: GrpcCall) => void>;
  readonly log: Log;
}

interface Session extends Connection {
  readonly http2: ServerHttp2Session;
  readonly sinceMs: number;
  hadCall: boolean;
  /** When it was asked for a sign of life that has not come yet. */
  pingedMs: number | undefined;
}

/** gRPC over HTTP/2, as much of it as Waggle speaks: calls of messages in both directions, uncompressed. */
export class GrpcServer {
  private readonly http2: Http2Server | Http2SecureServer;
  private readonly sessions = new Map<unknown, Session>();
  private readonly services: CallServices;
  private readonly memory: PartialMemory;
  private dirty: Http2Call[] = [];
  /** Ended here and not over yet. */
  private readonly ending = new Set<Http2Call>();
  private review: NodeJS.Timeout | undefined;

  constructor(private readonly options: GrpcServerOptions) {
    const { tls, messageBytesMax, partialBytesMax = PARTIAL_BYTES_MAX_DEFAULT, log } = options;
    this.memory = new PartialMemory(partialBytesMax);
    this.services = {
      memory: this.memory,
      unreadPool: new BufferPool(UNREAD_POOL_BYTES_MAX, UNREAD_BYTES_MIN),
      messageBytesMax,
      flushSoon: (call) => {
        if (this.dirty.push(call) === 1) queueMicrotask(() => this.flush());
      },
      onEnd: (call) => this.ending.add(call),
      onClose: (call) => {
        this.ending.delete(call);
        call.connection.openCalls--;
        call.connection.heardMs = performance.now();
      },
      onBug: (error, call) => log.error({ err: error, peer: call.peer }, "a call failed"),
    };
    const shared = {
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: { maxConcurrentStreams: CALLS_PER_CONNECTION_MAX, enablePush: false },
    };
    this.http2 =
      tls === null
        ? createServer(shared)
        : createSecureServer({ ...shared, cert: tls.certificate, key: tls.key, allowHTTP1: false, handshakeTimeout: TLS_HANDSHAKE_MS });
    this.http2.on("session", (session) => this.accept(session));
    this.http2.on("stream", (stream, headers) => this.receive(stream, headers));
    // Whoever speaks something else is sent away by Node.js; there is nobody to tell.
    this.http2.on("sessionError", (error) => log.debug({ err: error }, "a connection failed"));
  }

  /** Bytes of messages that have arrived in part. */
  get partialBytes(): number {
    return this.memory.heldBytes;
  }

  /** @returns the port, of use if `port` was 0 */
  async listen(port: number, host: string): Promise<number> {
    this.http2.listen(port, host);
    await once(this.http2, "listening");
    this.http2.on("error", (error) => this.options.log.error({ err: error }, "the gRPC server failed"));
    this.review = setInterval(() => this.reviewSessions(performance.now()), REVIEW_INTERVAL_MS);
    this.review.unref();
    return (this.http2.address() as AddressInfo).port;
  }

  /** Takes no more calls, tells every client to go elsewhere, and ends what is open after that time. */
  async close(graceMs: number): Promise<void> {
    clearInterval(this.review);
    if (!this.http2.listening) return;
    const closed = once(this.http2, "close");
    this.http2.close();
    for (const { http2 } of this.sessions.values()) if (!http2.closed) http2.close();
    const force = setTimeout(() => {
      for (const { http2 } of this.sessions.values()) http2.destroy();
    }, graceMs);
    await closed;
    clearTimeout(force);
  }

  private accept(http2: ServerHttp2Session): void {
    const { remoteAddress = "", remotePort = 0 } = http2.socket;
    const nowMs = performance.now();
    this.sessions.set(http2, {
      http2,
      peer: `${remoteAddress.includes(":") ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`,
      sinceMs: nowMs,
      heardMs: nowMs,
      openCalls: 0,
      hadCall: false,
      pingedMs: undefined,
    });
    // `sessionError` of the server hears it too; without a listener here it would be thrown.
    http2.on("error", () => {});
    http2.on("close", () => this.sessions.delete(http2));
    http2.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  }

  private receive(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const session = this.sessions.get(stream.session);
    if (session === undefined) {
      stream.on("error", () => {});
      stream.destroy();
      return;
    }
    session.hadCall = true;
    session.openCalls++;
    const call = new Http2Call(stream, headers, session, this.services);
    const isGrpc = /^application\/grpc(?:$|[+;])/.test(headers["content-type"] ?? "");
    if (headers[":method"] !== "POST" || !isGrpc) {
      // No gRPC status would reach whoever asks like this.
      call.refuseHttp(isGrpc ? 405 : 415);
      return;
    }
    const encoding = headers["grpc-encoding"] ?? "identity";
    const method = this.options.methods.get(headers[":path"] ?? "");
    if (method === undefined) call.end(GrpcStatus.UNIMPLEMENTED, `there is no method ${String(headers[":path"]).slice(0, 256)}`);
    else if (encoding !== "identity") call.end(GrpcStatus.UNIMPLEMENTED, "messages are taken uncompressed (grpc-encoding: identity)");
    else {
      const timeoutMs = parseTimeoutMs(headers["grpc-timeout"] as string | undefined);
      if (timeoutMs !== undefined) call.endAfter(timeoutMs);
      method(call);
    }
  }

  private flush(): void {
    const calls = this.dirty;
    this.dirty = [];
    for (const call of calls) call.flush();
  }

  /** One timer for all connections: each its own would be tens of thousands. */
  private reviewSessions(nowMs: number): void {
    for (const session of this.sessions.values()) {
      const { http2 } = session;
      if (http2.destroyed) continue;
      if (session.pingedMs !== undefined && session.heardMs > session.pingedMs) session.pingedMs = undefined;
      if (session.pingedMs !== undefined && nowMs - session.pingedMs >= PING_TIMEOUT_MS) http2.destroy();
      else if (!session.hadCall && nowMs - session.sinceMs >= FIRST_CALL_MS) http2.destroy();
      else if (session.openCalls === 0 && nowMs - session.heardMs >= IDLE_MS) http2.close();
      else if (session.pingedMs === undefined && session.openCalls > 0 && nowMs - session.heardMs >= PING_AFTER_MS) {
        session.pingedMs = nowMs;
        http2.ping((error) => {
          if (error !== null) return;
          session.pingedMs = undefined;
          session.heardMs = performance.now();
        });
      }
    }
    for (const call of this.ending) if (nowMs - (call.endedMs ?? nowMs) >= END_UNREAD_MS) call.abandon();
  }
}
