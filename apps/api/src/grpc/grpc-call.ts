// SPDX-License-Identifier: Apache-2.0
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { BufferPool } from "../common/buffer-pool.ts";
import { encodeStatusMessage, GrpcError, GrpcStatus } from "./grpc-status.ts";
import { frameMessage, MessageReader, type PartialHolder, type PartialMemory } from "./message-reader.ts";
import { UnreadBytes } from "./unread-bytes.ts";

/** Why a call is over without anybody having ended it here. */
export type GoneReason = "cancelled" | "closed" | "malformed" | "too_large" | "error";

/** Who a call's messages are for. */
export interface CallListener {
  /** The bytes are the listener's until it returns; afterwards other messages are written over them. */
  onMessage(message: Buffer): void;
  /** No message comes any more. */
  onHalfClose(): void;
  /** The call is over without `end`: cancelled, or its connection is gone, or it sent what is no message. Nothing can be said any more. */
  onGone(reason: GoneReason): void;
}

/** One call, of whatever kind: messages in, messages out, a status at the end. */
export interface GrpcCall {
  /** Address and port of the other side. */
  readonly peer: string;
  readonly headers: IncomingHttpHeaders;
  /** Over: it was ended here or there. */
  readonly isOver: boolean;
  readonly isPaused: boolean;
  /** Of what was written, bytes that wait here for the other side to read them. */
  readonly unreadBytes: number;
  /** Starts reading. */
  listen(listener: CallListener): void;
  /** No message comes until `resume`, not even one that has arrived; the other side's flow-control window fills up. */
  pause(): void;
  resume(): void;
  /** Sends a message, together with whatever else is written in the same turn. */
  write(message: Uint8Array): void;
  /** Ends the call with its status behind what was written. The listener hears nothing any more. */
  end(code: GrpcStatus, details?: string): void;
}

/** What calls of one server share. */
export interface CallServices {
  readonly memory: PartialMemory;
  /** For what calls sent that are not read from. */
  readonly unreadPool: BufferPool;
  readonly messageBytesMax: number;
  /** Calls `flush` once what runs now is done. */
  flushSoon(call: Http2Call): void;
  onEnd(call: Http2Call): void;
  onClose(call: Http2Call): void;
  /** A listener threw what it should not have. */
  onBug(error: unknown, call: Http2Call): void;
}

/** What is known of a connection. */
export interface Connection {
  /** Address and port of the other side. */
  readonly peer: string;
  openCalls: number;
  /** When bytes of a call last came, or a call ended; of `performance.now()`. */
  heardMs: number;
}

const responseHeaders = {
  ":status": 200,
  "content-type": "application/grpc",
  "grpc-accept-encoding": "identity",
} as const;

/**
 * A call over an HTTP/2 stream.
 *
 * Node.js hands the transport's chunks to `push` of the stream, which this takes the place of: what is not read from would wait in the stream, where it keeps the
 * transport's buffers, each for the sake of a part of it, and these outlive two young collections then. Events, ticks and a request for more behind every chunk
 * are saved as well.
 */
export class Http2Call implements GrpcCall, PartialHolder {
  isPaused = false;
  /** Its status was written; what the other side has not read of it after a while is given up. */
  endedMs: number | undefined;
  private readonly reader: MessageReader;
  private listener: CallListener | undefined;
  private readonly take = (message: Buffer): void => this.listener?.onMessage(message);
  /** Came while nobody read: at most what the flow-control window allows, as none of it is credited. */
  private readonly unread: UnreadBytes;
  /** The transport was told to credit nothing; until the first reading it does not either. */
  private isStopped = true;
  private isReceiving = false;
  private isHalfClosed = false;
  private isHalfCloseTold = false;
  private isGone = false;
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  private trailers: Record<string, string> | undefined;
  private deadline: NodeJS.Timeout | undefined;

  constructor(
    private readonly stream: ServerHttp2Stream,
    readonly headers: IncomingHttpHeaders,
    readonly connection: Connection,
    private readonly services: CallServices,
  ) {
    this.reader = new MessageReader(services.memory, this, services.messageBytesMax);
    this.unread = new UnreadBytes(services.unreadPool);
    const { push } = stream;
    stream.push = (chunk: Buffer | null) => (chunk === null ? push.call(stream, null) : this.receive(chunk));
    stream.on("end", () => {
      this.isHalfClosed = true;
      if (this.unread.length === 0) this.tellHalfClose();
    });
    stream.on("error", () => this.gone("error"));
    stream.on("close", () => {
      this.gone(stream.rstCode === constants.NGHTTP2_CANCEL ? "cancelled" : "closed");
      services.onClose(this);
    });
  }

  get peer(): string {
    return this.connection.peer;
  }

  get isOver(): boolean {
    return this.isGone || this.trailers !== undefined;
  }

  get unreadBytes(): number {
    return this.stream.writableLength + this.pendingBytes;
  }

  listen(listener: CallListener): void {
    if (this.isOver) return;
    this.listener = listener;
    this.readOn();
  }

  /** Ends the call by itself when its time is up. */
  endAfter(timeoutMs: number): void {
    this.deadline = setTimeout(
      () => {
        this.gone("closed");
        this.end(GrpcStatus.DEADLINE_EXCEEDED, "the call's deadline has passed");
      },
      Math.min(timeoutMs, 2 ** 31 - 1),
    );
    this.deadline.unref();
  }

  pause(): void {
    // The next chunk stops the transport.
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.readOn();
  }

  write(message: Uint8Array): void {
    if (this.isOver) return;
    const framed = frameMessage(message);
    if (this.pending.push(framed) === 1) this.services.flushSoon(this);
    this.pendingBytes += framed.length;
  }

  /** Hands what was written to the transport: one write however many messages, as each costs more than a message. */
  flush(): void {
    const { pending } = this;
    if (pending.length === 0) return;
    this.pending = [];
    this.pendingBytes = 0;
    if (this.stream.destroyed || this.stream.closed) return;
    if (!this.stream.headersSent) this.respond();
    this.stream.write(pending.length === 1 ? pending[0] : Buffer.concat(pending));
  }

  end(code: GrpcStatus, details = ""): void {
    if (this.trailers !== undefined) return;
    this.flush();
    this.trailers = { "grpc-status": String(code), ...(details === "" ? {} : { "grpc-message": encodeStatusMessage(details) }) };
    this.endedMs = performance.now();
    this.forget();
    this.services.onEnd(this);
    const { stream } = this;
    if (stream.destroyed || stream.closed) return;
    if (stream.headersSent) {
      stream.end();
      return;
    }
    stream.respond({ ...responseHeaders, ...this.trailers }, { endStream: true });
    this.sayNothingMoreIsRead();
  }

  /** Ends a call of somebody who does not speak gRPC. */
  refuseHttp(status: number): void {
    this.trailers = {};
    this.forget();
    this.stream.respond({ ":status": status }, { endStream: true });
    this.startTransport();
  }

  /** Lets go of a call that is over and whose end is not read. */
  abandon(): void {
    this.stream.close(constants.NGHTTP2_CANCEL);
  }

  dropPartial(): void {
    this.fail(
      new GrpcError(GrpcStatus.RESOURCE_EXHAUSTED, "the message took too long to arrive while others needed its room; send it again"),
      "closed",
    );
  }

  private respond(): void {
    const { stream } = this;
    stream.respond(responseHeaders, { waitForTrailers: true });
    stream.on("wantTrailers", () => {
      stream.sendTrailers(this.trailers ?? { "grpc-status": String(GrpcStatus.INTERNAL) });
      this.sayNothingMoreIsRead();
    });
  }

  /** The other side may still be sending. HTTP/2's way to say that nobody listens is a reset without an error, behind the end of the answer. */
  private sayNothingMoreIsRead(): void {
    if (this.isHalfClosed) return;
    // A call that was never read from must be, or its end would never be noticed.
    this.startTransport();
    setImmediate(() => this.stream.close(constants.NGHTTP2_NO_ERROR));
  }

  /** A chunk has come. @returns whether the transport may credit it to the other side */
  private receive(chunk: Buffer): boolean {
    this.connection.heardMs = performance.now();
    if (this.isOver) return true;
    const taken = this.isRead && this.unread.length === 0 ? this.takeMessages(chunk) : 0;
    if (this.isOver) return true;
    this.unread.append(chunk, taken);
    this.isStopped = !this.isRead;
    return !this.isStopped;
  }

  private get isRead(): boolean {
    return this.listener !== undefined && !this.isPaused;
  }

  /** Hands out what waits, and then lets the transport go on. */
  private readOn(): void {
    if (!this.isRead || this.isReceiving) return;
    if (this.unread.length > 0) {
      const taken = this.takeMessages(this.unread.view());
      if (this.isOver) return;
      this.unread.skip(taken);
      if (!this.isRead) return;
    }
    if (this.isHalfClosed) this.tellHalfClose();
    this.startTransport();
  }

  private startTransport(): void {
    if (!this.isStopped || this.stream.destroyed) return;
    this.isStopped = false;
    this.stream._read(0);
  }

  private tellHalfClose(): void {
    if (this.listener === undefined || this.isHalfCloseTold) return;
    this.isHalfCloseTold = true;
    if (this.reader.isInside) this.fail(new GrpcError(GrpcStatus.INVALID_ARGUMENT, "the call ended inside a message"), "malformed");
    else this.listener.onHalfClose();
  }

  /** @returns how many of the bytes were read; fewer than there are if reading paused or the call is over */
  private takeMessages(bytes: Buffer): number {
    this.isReceiving = true;
    let at = 0;
    try {
      while (at < bytes.length && this.isRead && !this.isOver) at = this.reader.next(bytes, at, this.take);
    } catch (error) {
      if (error instanceof GrpcError) this.fail(error, error.code === GrpcStatus.RESOURCE_EXHAUSTED ? "too_large" : "malformed");
      else {
        this.services.onBug(error, this);
        this.fail(new GrpcError(GrpcStatus.INTERNAL, "something broke on the API's side"), "error");
      }
    } finally {
      this.isReceiving = false;
    }
    return at;
  }

  private fail(error: GrpcError, reason: GoneReason): void {
    this.gone(reason);
    this.end(error.code, error.message);
  }

  private gone(reason: GoneReason): void {
    const { listener } = this;
    const wasOver = this.isOver;
    this.isGone = true;
    this.forget();
    if (!wasOver) listener?.onGone(reason);
  }

  private forget(): void {
    this.listener = undefined;
    this.unread.clear();
    this.reader.drop();
    clearTimeout(this.deadline);
  }
}
