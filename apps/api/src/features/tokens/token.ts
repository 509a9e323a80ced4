// SPDX-License-Identifier: Apache-2.0
import { createHash, randomInt } from "node:crypto";
import { crc32 } from "node:zlib";

/** adm: API token; enr: enrolment; hst: a host's credential; ses: a browser session. */
export const tokenKinds = ["adm", "enr", "hst", "ses"] as const;
export type TokenKind = (typeof tokenKinds)[number];

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 62^32 is about 190 bits. */
const SECRET_LENGTH = 32;
/** 62^6 > 2^32: the whole CRC fits. */
const CHECKSUM_LENGTH = 6;

/** A new secret: `wgl_<kind>_` + 32 base62 characters + 6 of CRC-32, by which secret scanners and typing errors are told apart from real tokens. */
export function mintToken(kind: TokenKind): string {
  let body = `wgl_${kind}_`;
  for (let index = 0; index < SECRET_LENGTH; index++) body += ALPHABET[randomInt(ALPHABET.length)];
  return body + checksum(body);
}

/** True for a token of this kind whose checksum fits; says nothing about whether it was ever issued. */
export function isWellFormed(token: string, kind: TokenKind): boolean {
  const prefix = `wgl_${kind}_`;
  if (token.length !== prefix.length + SECRET_LENGTH + CHECKSUM_LENGTH || !token.startsWith(prefix)) return false;
  const body = token.slice(0, -CHECKSUM_LENGTH);
  return token.slice(-CHECKSUM_LENGTH) === checksum(body);
}

/** SHA-256 in hex: all that is stored. A plain hash suffices for a secret of 190 random bits. */
export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function checksum(body: string): string {
  let rest = crc32(body);
  let text = "";
  for (let index = 0; index < CHECKSUM_LENGTH; index++) {
    text = ALPHABET[rest % 62] + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}
