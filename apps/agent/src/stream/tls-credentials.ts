// SPDX-License-Identifier: Apache-2.0
import { isIP, type Socket } from "node:net";
import { connect, createSecureContext, type SecureContext } from "node:tls";
import { CallCredentials, ChannelCredentials } from "@grpc/grpc-js";
import { describeTlsError } from "./connection-problem.ts";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;
type Connected = Awaited<ReturnType<Connector["connect"]>>;

/**
 * TLS to one API. grpc-js's own names an address to the server as it does a name, for which TLS has no place (RFC 6066, section 3) and Node prints a warning, and it keeps
 * to itself why a handshake failed. The certificate is held against the host either way: against its DNS names for a name, its addresses for an address.
 */
export class TlsCredentials extends ChannelCredentials {
  readonly #host: string;
  readonly #context: SecureContext;
  /** Why the last handshake failed and what to do about it, in words; undefined if it did not, or there was none. */
  problem: string | undefined;

  /** @param ca the authority that certificates have to be signed by; those that Node knows if absent */
  constructor(host: string, ca: Buffer | undefined) {
    super();
    this.#host = host;
    this.#context = createSecureContext({ ca });
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  _createSecureConnector(_target: unknown, _options: unknown, callCredentials: CallCredentials = CallCredentials.createEmpty()): Connector {
    return {
      connect: (socket) => this.#connect(socket),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }

  #connect(socket: Socket): Promise<Connected> {
    const name = isIP(this.#host) === 0 ? { servername: this.#host } : { host: this.#host };
    return new Promise((resolve, reject) => {
      const secured = connect({ socket, secureContext: this.#context, ALPNProtocols: ["h2"], ...name });
      let isSecure = false;
      secured.once("secureConnect", () => {
        isSecure = true;
        this.problem = undefined;
        resolve({ socket: secured, secure: true });
      });
      secured.on("error", (error) => {
        // One that comes later is the connection's, and its user hears of it.
        if (!isSecure) this.problem = describeTlsError(error, this.#host);
        reject(error);
      });
    });
  }
}
