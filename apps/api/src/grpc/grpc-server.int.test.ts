// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from "node:http2";
import { connect as connectTcp } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLog } from "../common/log.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { GrpcServer } from "./grpc-server.ts";
import { GrpcStatus } from "./grpc-status.ts";
import { frameMessage } from "./message-reader.ts";

const MESSAGE_BYTES_MAX = 1_000_000;
const PARTIAL_BYTES_MAX = 1_000_000;

/** Calls that wait for the test to do something with them. */
const held: { call: GrpcCall; messages: string[] }[] = [];
let server: GrpcServer;
let port: number;

function makeServer(): GrpcServer {
  const ignore = { onHalfClose: () => {}, onGone: () => {} };
  const methods: Record<string, (call: GrpcCall) => void> = {
    "/t/Echo": (call) => {
      call.listen({ ...ignore, onMessage: (message) => call.write(message), onHalfClose: () => call.end(GrpcStatus.OK) });
    },
    "/t/Deny": (call) => call.end(GrpcStatus.UNAUTHENTICATED, "nö: 100 %\n"),
    "/t/Bug": (call) => {
      call.listen({
        ...ignore,
        onMessage: () => {
          throw new TypeError("a bug");
        },
      });
    },
    "/t/Hold": (call) => {
      const messages: string[] = [];
      held.push({ call, messages });
      call.listen({
        ...ignore,
        onMessage: (message) => {
          messages.push(message.toString());
          call.pause();
        },
        onHalfClose: () => {
          messages.push("<end>");
        },
      });
    },
    // As calls do whose credentials are looked up first.
    "/t/Late": (call) => {
      const messages: string[] = [];
      held.push({ call, messages });
    },
  };
  return new GrpcServer({
    tls: null,
    messageBytesMax: MESSAGE_BYTES_MAX,
    partialBytesMax: PARTIAL_BYTES_MAX,
    methods: new Map(Object.entries(methods)),
    log: createLog("silent"),
  });
}

beforeAll(async () => {
  server = makeServer();
  port = await server.listen(0, "127.0.0.1");
});
afterAll(() => server?.close(100));

async function openSession(to = port): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${to}`);
  session.on("error", () => {});
  await once(session, "connect");
  return session;
}

/** Opens a call and collects what it is answered. */
function openCall(session: ClientHttp2Session, path: string, headers: Record<string, string> = {}) {
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
  const chunks: Buffer[] = [];
  let answer: IncomingHttpHeaders = {};
  stream.on("error", () => {});
  stream.on("response", (received) => {
    answer = { ...answer, ...received };
  });
  stream.on("trailers", (received) => {
    answer = { ...answer, ...received };
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise<void>((resolve) => stream.on("close", () => resolve()));
  const ended = closed.then(() => ({
    http: answer[":status"],
    status: answer["grpc-status"] === undefined ? undefined : Number(answer["grpc-status"]),
    message: decodeURIComponent(String(answer["grpc-message"] ?? "")),
    body: Buffer.concat(chunks),
  }));
  return { stream, ended };
}

async function isAlive(): Promise<boolean> {
  const session = await openSession();
  const { stream, ended } = openCall(session, "/t/Echo");
  stream.end(frameMessage(Buffer.from("hello")));
  const { status, body } = await ended;
  session.close();
  return status === GrpcStatus.OK && body.equals(frameMessage(Buffer.from("hello")));
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("a gRPC server", () => {
  it("answers every message of a call in order, and ends it with a status behind them", async () => {
    const session = await openSession();
    const messages = [0, 1, 20_000, 3, 700_000].map((length, index) => frameMessage(Buffer.alloc(length, index)));
    const { stream, ended } = openCall(session, "/t/Echo");
    for (const message of messages) stream.write(message);
    stream.end();
    const { http, status, body } = await ended;
    expect({ http, status }).toEqual({ http: 200, status: GrpcStatus.OK });
    expect(body.equals(Buffer.concat(messages))).toBe(true);
    session.close();
  });

  it("says why it ends a call, also while the other side is still sending", async () => {
    const session = await openSession();
    const { stream, ended } = openCall(session, "/t/Deny");
    stream.write(frameMessage(Buffer.alloc(10_000)));
    expect(await ended).toMatchObject({ http: 200, status: GrpcStatus.UNAUTHENTICATED, message: "nö: 100 %\n" });
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    session.close();
  });

  it.each<[string, string, Record<string, string>, Buffer, number]>([
    ["an unknown method", "/t/Nothing", {}, Buffer.alloc(0), GrpcStatus.UNIMPLEMENTED],
    ["an encoding", "/t/Echo", { "grpc-encoding": "gzip" }, Buffer.alloc(0), GrpcStatus.UNIMPLEMENTED],
    ["a message that is compressed", "/t/Echo", {}, Buffer.from([1, 0, 0, 0, 1, 0]), GrpcStatus.UNIMPLEMENTED],
    ["a length of 4 GB", "/t/Echo", {}, Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 0]), GrpcStatus.RESOURCE_EXHAUSTED],
    ["a deadline", "/t/Hold", { "grpc-timeout": "50m" }, Buffer.alloc(0), GrpcStatus.DEADLINE_EXCEEDED],
    ["a listener that fails", "/t/Bug", {}, frameMessage(Buffer.from("x")), GrpcStatus.INTERNAL],
  ])("ends %s with its status, without waiting for the call to be closed", async (_, path, headers, bytes, status) => {
    const session = await openSession();
    const { stream, ended } = openCall(session, path, headers);
    if (bytes.length > 0) stream.write(bytes);
    expect(await ended).toMatchObject({ http: 200, status });
    // The connection is as good as before.
    const next = openCall(session, "/t/Echo");
    next.stream.end(frameMessage(Buffer.from("next")));
    expect(await next.ended).toMatchObject({ status: GrpcStatus.OK });
    session.close();
  });

  it("answers what is no gRPC with an HTTP status", async () => {
    const session = await openSession();
    const page = openCall(session, "/t/Echo", { "content-type": "text/html" });
    page.stream.end();
    expect((await page.ended).http).toBe(415);
    const get = session.request({ ":method": "GET", ":path": "/t/Echo", "content-type": "application/grpc" });
    const [headers] = (await once(get, "response")) as [IncomingHttpHeaders];
    expect(headers[":status"]).toBe(405);
    session.close();
  });

  it("ends a call that stops inside a message or a prefix with INVALID_ARGUMENT", async () => {
    const session = await openSession();
    for (const bytes of [Buffer.from([0, 0, 0]), frameMessage(Buffer.alloc(50_000)).subarray(0, 40_000)]) {
      const { stream, ended } = openCall(session, "/t/Echo");
      stream.end(bytes);
      expect(await ended).toMatchObject({ status: GrpcStatus.INVALID_ARGUMENT });
    }
    expect(server.partialBytes).toBe(0);
    session.close();
  });

  it("hands out no message while a call is paused, not even one that has arrived, and all of them afterwards", async () => {
    held.length = 0;
    const session = await openSession();
    const { stream, ended } = openCall(session, "/t/Hold");
    const texts = ["a", "b", "c".repeat(200_000), "d"];
    stream.write(Buffer.concat(texts.map((text) => frameMessage(Buffer.from(text)))));
    await until(() => held[0] !== undefined && held[0].messages.length > 0);
    const { call, messages } = held[0] as (typeof held)[number];
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (let taken = 1; taken < texts.length; taken++) {
      expect(messages).toEqual(texts.slice(0, taken));
      call.resume();
      await until(() => messages.length > taken);
    }
    call.end(GrpcStatus.OK);
    expect(await ended).toMatchObject({ status: GrpcStatus.OK });
    session.close();
  });

  it("keeps what came before anybody listened, and says behind it that no more comes", async () => {
    held.length = 0;
    const session = await openSession();
    const texts = ["a", "", "b".repeat(100_000)];
    const calls = [texts, []].map((list) => {
      const call = openCall(session, "/t/Late");
      call.stream.end(Buffer.concat(list.map((text) => frameMessage(Buffer.from(text)))));
      return call;
    });
    await until(() => held.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const { call, messages } of held) {
      call.listen({
        onMessage: (message) => void messages.push(message.toString()),
        onHalfClose: () => {
          messages.push("<end>");
          call.end(GrpcStatus.OK);
        },
        onGone: () => {},
      });
    }
    for (const { ended } of calls) expect(await ended).toMatchObject({ status: GrpcStatus.OK });
    expect(held.map(({ messages }) => messages)).toEqual([[...texts, "<end>"], ["<end>"]]);
    session.close();
  });

  it("says that no more comes only once a paused call has taken what came before, and takes no more than a window of it meanwhile", async () => {
    held.length = 0;
    const session = await openSession();
    const { stream, ended } = openCall(session, "/t/Hold");
    const texts = Array.from({ length: 300 }, (_, index) => String(index).repeat(200));
    let written = 0;
    for (const text of texts) stream.write(frameMessage(Buffer.from(text)), () => written++);
    stream.end();
    await until(() => held[0] !== undefined && held[0].messages.length > 0);
    const { call, messages } = held[0] as (typeof held)[number];
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(messages).toEqual(texts.slice(0, 1));
    // 160 KB were to be sent, a stream's window has 64.
    expect(written).toBeLessThan(texts.length);
    for (let taken = 1; taken < texts.length; taken++) {
      call.resume();
      await until(() => messages.length > taken);
    }
    expect(messages).toEqual(texts);
    call.resume();
    await until(() => messages.length > texts.length);
    expect(messages.at(-1)).toBe("<end>");
    call.end(GrpcStatus.OK);
    expect(await ended).toMatchObject({ status: GrpcStatus.OK });
    session.close();
  });

  it("keeps nothing of calls and connections that break off inside a message", async () => {
    const session = await openSession();
    for (let round = 0; round < 20; round++) {
      const { stream } = openCall(session, "/t/Echo");
      stream.write(frameMessage(Buffer.alloc(60_000)).subarray(0, 30_000));
      await until(() => server.partialBytes > 0);
      if (round % 2 === 0) stream.close(constants.NGHTTP2_CANCEL);
      else stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      await until(() => server.partialBytes === 0);
    }
    openCall(session, "/t/Echo").stream.write(Buffer.from([0, 0, 1]));
    const { stream } = openCall(session, "/t/Echo");
    stream.write(frameMessage(Buffer.alloc(60_000)).subarray(0, 30_000));
    await until(() => server.partialBytes > 0);
    session.destroy();
    await until(() => server.partialBytes === 0);
    expect(await isAlive()).toBe(true);
  });

  it("sends those away that wait longest for the rest of their messages, when all together hold too much", async () => {
    const session = await openSession();
    const calls = Array.from({ length: 40 }, () => {
      const call = openCall(session, "/t/Echo");
      call.stream.write(frameMessage(Buffer.alloc(60_000)).subarray(0, 40_000));
      return call;
    });
    expect(await (calls[0] as (typeof calls)[number]).ended).toMatchObject({ status: GrpcStatus.RESOURCE_EXHAUSTED });
    expect(server.partialBytes).toBeLessThanOrEqual(PARTIAL_BYTES_MAX);
    // The last one is heard out.
    const last = calls.at(-1) as (typeof calls)[number];
    last.stream.end(frameMessage(Buffer.alloc(60_000)).subarray(40_000));
    expect(await last.ended).toMatchObject({ status: GrpcStatus.OK });
    session.destroy();
    await until(() => server.partialBytes === 0);
  });

  it("outlives whoever speaks no HTTP/2, or breaks its rules", async () => {
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const frame = (type: number, flags: number, streamId: number, payload: Buffer): Buffer => {
      const head = Buffer.alloc(9);
      head.writeUIntBE(payload.length, 0, 3);
      head[3] = type;
      head[4] = flags;
      head.writeUInt32BE(streamId, 5);
      return Buffer.concat([head, payload]);
    };
    const settings = frame(4, 0, 0, Buffer.alloc(0));
    const [HEADERS, CONTINUATION, DATA] = [1, 9, 0];
    const endless = Array.from({ length: 2_000 }, () => frame(CONTINUATION, 0, 1, Buffer.alloc(1_000)));
    const attempts: readonly (readonly Buffer[])[] = [
      [Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n")],
      [Buffer.alloc(100_000, 0xff)],
      [preface, settings, frame(HEADERS, 0, 1, Buffer.from([0x82])), ...endless],
      [preface, settings, frame(HEADERS, 4, 1, Buffer.alloc(100, 0xff))],
      [preface, settings, frame(DATA, 0, 5, Buffer.alloc(100))],
      [preface, settings, frame(HEADERS, 4, 2, Buffer.from([0x82]))],
      [preface, settings, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])],
    ];
    for (const bytes of attempts) {
      const socket = connectTcp(port, "127.0.0.1");
      socket.on("error", () => {});
      const closed = once(socket, "close");
      for (const part of bytes) socket.write(part);
      // The server ends it by itself.
      socket.resume();
      await closed;
    }
    expect(await isAlive()).toBe(true);
  });

  it("takes no call any more once it closes, and ends what stays open after the time it was given", async () => {
    const other = makeServer();
    const session = await openSession(await other.listen(0, "127.0.0.1"));
    const goaway = once(session, "goaway");
    const { stream, ended } = openCall(session, "/t/Echo");
    stream.write(frameMessage(Buffer.from("x")));
    await once(stream, "response");
    const closed = other.close(50);
    await goaway;
    await closed;
    expect((await ended).status).toBeUndefined();
    expect(session.destroyed || session.closed).toBe(true);
  });
});
