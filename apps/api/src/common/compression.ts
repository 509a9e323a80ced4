// SPDX-License-Identifier: Apache-2.0
import { promisify } from "node:util";
import { brotliCompress, deflate, gzip, constants as zlib, zstdCompress } from "node:zlib";
import Negotiator from "negotiator";

/** Smaller answers fit into one packet anyway. */
export const COMPRESS_FROM_BYTES = 1_024;
/** Up to here it takes half a millisecond at once, and nearly twice the CPU piece by piece on other threads. */
export const COMPRESS_AT_ONCE_BYTES = 64 * 1_024;
/** Each piece of what comes out goes through the event loop. */
const PIECE_BYTES = 256 * 1_024;
/** The one that is liked as well as others and stands first is taken. */
export const encodings = ["zstd", "br", "gzip", "deflate"] as const;
export type Encoding = (typeof encodings)[number];
/** Answers are made for one reader each, or for a few seconds: what is fast wins over what is small. */
export const compressionOptions = {
  zlib: { level: 4 },
  brotli: { params: { [zlib.BROTLI_PARAM_QUALITY]: 4 } },
} as const;

const compressors: Readonly<Record<Encoding, (bytes: Buffer) => Promise<Buffer>>> = {
  zstd: (bytes) => promisify(zstdCompress)(bytes, { chunkSize: PIECE_BYTES }),
  br: (bytes) => promisify(brotliCompress)(bytes, { ...compressionOptions.brotli, chunkSize: PIECE_BYTES }),
  gzip: (bytes) => promisify(gzip)(bytes, { ...compressionOptions.zlib, chunkSize: PIECE_BYTES }),
  deflate: (bytes) => promisify(deflate)(bytes, { ...compressionOptions.zlib, chunkSize: PIECE_BYTES }),
};

/** What its types do not know of it. */
interface Preferring {
  encoding(available: string[], options?: { readonly preferred: string[] }): string | undefined;
}

/** Which encoding a client likes best; undefined: none. */
export function encodingFor(headers: Readonly<Record<string, string | string[] | undefined>>): Encoding | undefined {
  const accepted = headers["accept-encoding"];
  if (typeof accepted !== "string" || headers["x-no-compression"] !== undefined) return undefined;
  const negotiator: Preferring = new Negotiator({ headers: { "accept-encoding": accepted } });
  const chosen = negotiator.encoding([...encodings, "identity"], { preferred: [...encodings] });
  return encodings.find((encoding) => encoding === chosen);
}

export function compressed(bytes: Buffer, encoding: Encoding): Promise<Buffer> {
  return compressors[encoding](bytes);
}
