// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { maxHeaderSize, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { AppError } from "./app-error.ts";
import { toProblem } from "./problem.ts";

/** A client that still sends is read for so long: what it has not been read of would make the kernel throw the answer away with the connection. */
const LINGER_MS = 500;
const answered = new WeakSet<Duplex>();

/** Answers bytes that Node's HTTP parser gave up on, as every other error is answered: no request comes of them, so that nothing else can. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  // The rest of what it sends is no better.
  if (answered.has(socket)) return;
  answered.add(socket);
  // Of a CONNECT nobody else hears it, and an error that nobody hears ends the process.
  socket.on("error", () => socket.destroy());
  // Nobody is left to read it, or an answer to an earlier request is on its way and must not have another in its middle.
  const { _httpMessage: underWay } = socket as { readonly _httpMessage?: ServerResponse | null };
  if (error.code === "ECONNRESET" || !socket.writable || underWay?.headersSent === true) {
    socket.destroy(error);
    return;
  }
  const problem = toProblem(toError(error.code), randomUUID());
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ""}`,
    "content-type: application/problem+json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${problem.requestId}`,
    "x-content-type-options: nosniff",
    "cache-control: no-store",
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  socket.resume();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

function toError(code: string | undefined): AppError {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return new AppError(
        "HEADERS_TOO_LARGE",
        `The address and the headers together may have ${maxHeaderSize / 1_024} KiB. A long question goes into the body of POST /api/v1/query.`,
      );
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new AppError("REQUEST_TIMEOUT", "The request began and did not come to its end in time. Send it again.");
    default:
      return new AppError("MALFORMED_REQUEST", "What came is no HTTP/1.1 request. The addresses are listed in /api/v1/openapi.json.");
  }
}
