// SPDX-License-Identifier: Apache-2.0
import type { FastifyReply } from "fastify";

/** Aborts when the connection closes before the answer is out. */
export function untilGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) gone.abort(new Error("the client went away"));
  });
  return gone.signal;
}
