// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { createServer, type Server } from "node:net";

/**
 * Claims a state directory for this process, or returns undefined if another one has it. The claim is a name in Linux' abstract socket
 * namespace (unix(7)): taken atomically, and gone with the process however that ends.
 */
export async function claimStateDirectory(stateDirectory: string): Promise<Server | undefined> {
  const name = createHash("sha256").update(realpathSync(stateDirectory)).digest("hex").slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  return await new Promise((resolve, reject) => {
    server.on("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen(`\0waggle-agent-${name}`, () => {
      server.unref();
      resolve(server);
    });
  });
}
