// SPDX-License-Identifier: Apache-2.0
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { encodeStatusMessage, GrpcError, GrpcStatus } from "./grpc-status.ts";
import { frameMessage, MessageReader, type PartialHolder, type PartialMemory } from "./message-reader.ts";

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

/** A call over an HTTP/2 stream. */
export class Http2Call implements GrpcCall, PartialHolder {
  isPaused = false;
  /** Its status was written; what the other side has not read of it after a while is given up. */
  endedMs: number | undefined;
  private readonly reader: MessageReader;
  private listener: CallListener | undefined;
  private readonly take = (message: Buffer): void => this.listener?.onMessage(message);
  /** Of a chunk whose messages were not taken yet when reading paused. */
  private rest: Buffer | undefined;
  private isReceiving = false;
  private isHalfClosed = false;
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
    this.stream.on("data", (chunk: Buffer) => {
      this.connection.heardMs = performance.now();
      this.receive(chunk);
    });
    this.stream.on("end", () => {
      this.isHalfClosed = true;
      if (this.isOver) return;
      if (this.reader.isInside) this.fail(new GrpcError(GrpcStatus.INVALID_ARGUMENT, "the call ended inside a message"), "malformed");
      else this.listener?.onHalfClose();
    });
    if (this.isPaused) this.stream.pause();
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
    this.isPaused = true;
    this.stream.pause();
  }

  resume(): void {
    this.isPaused = false;
    if (this.isReceiving) return;
    const { rest } = this;
    this.rest = undefined;
    if (rest !== undefined) this.receive(rest);
    if (!this.isPaused && !this.isGone) this.stream.resume();
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
    this.stream.resume();
    setImmediate(() => this.stream.close(constants.NGHTTP2_NO_ERROR));
  }

  private receive(chunk: Buffer): void {
    this.isReceiving = true;
    try {
      let at = 0;
      while (at < chunk.length && !this.isOver) {
        if (this.isPaused) {
          this.rest = this.rest === undefined ? chunk.subarray(at) : Buffer.concat([this.rest, chunk.subarray(at)]);
          return;
        }
        at = this.reader.next(chunk, at, this.take);
      }
    } catch (error) {
      if (!(error instanceof GrpcError)) {
        this.services.onBug(error, this);
        this.fail(new GrpcError(GrpcStatus.INTERNAL, "something broke on the API's side"), "error");
        return;
      }
      this.fail(error, error.code === GrpcStatus.RESOURCE_EXHAUSTED ? "too_large" : "malformed");
    } finally {
      this.isReceiving = false;
    }
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
    this.rest = undefined;
    this.reader.drop();
    clearTimeout(this.deadline);
  }
}
