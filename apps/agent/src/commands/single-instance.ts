// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { createServer, type Server } from "node:net";

/**
 * Claims a state directory for this process, or returns undefined if another one has it. The claim is a name in Linux' abstract socket
 * namespace (unix(7)): taken atomically, and gone with the process however that ends.
 */
export async function claimStateDirectory(stateDirectory: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return await new Promise((resolve, reject) => {
    server.on("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen(`\0${claimName(stateDirectory)}`, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** The claim's name; in /proc/net/unix it stands behind an @. Throws if there is no such directory. */
export function claimName(stateDirectory: string): string {
  return `waggle-agent-${createHash("sha256").update(realpathSync(stateDirectory)).digest("hex").slice(0, 32)}`;
}
