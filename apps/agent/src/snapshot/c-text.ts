// SPDX-License-Identifier: Apache-2.0

/** Text of a C string in a field of fixed size: bytes up to the first zero; those that are not UTF-8 become the replacement character. */
export function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

/** Whether `textOf` of the field at `at` is that text, for a tenth of its price. May say no to a text that is not ASCII. */
export function isTextAt(bytes: Uint8Array, at: number, size: number, text: string): boolean {
  const { length } = text;
  if (length > size || (length < size && bytes[at + length] !== 0)) return false;
  for (let index = 0; index < length; index++) {
    const byte = bytes[at + index] as number;
    if (byte === 0 || byte >= 0x80 || byte !== text.charCodeAt(index)) return false;
  }
  return true;
}
