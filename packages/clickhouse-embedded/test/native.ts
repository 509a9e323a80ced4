// SPDX-License-Identifier: Apache-2.0

/** One column of a block in ClickHouse's Native format: its values already encoded, see {@link strings} and {@link arraysOfUInt16}. */
export interface NativeColumn {
  readonly name: string;
  readonly type: string;
  readonly values: Buffer;
}

/** A Native block as HTTP takes it: number of columns and rows, then per column name, type, values. */
export function nativeBlock(rows: number, columns: readonly NativeColumn[]): Buffer {
  return Buffer.concat([
    varint(columns.length),
    varint(rows),
    ...columns.flatMap(({ name, type, values }) => [string(Buffer.from(name)), string(Buffer.from(type)), values]),
  ]);
}

export const strings = (values: readonly Buffer[]): Buffer => Buffer.concat(values.map(string));

/** Running ends of the arrays as UInt64, then all elements. */
export function arraysOfUInt16(values: readonly (readonly number[])[]): Buffer {
  const ends = Buffer.alloc(values.length * 8);
  let end = 0;
  values.forEach((elements, row) => {
    end += elements.length;
    ends.writeBigUInt64LE(BigInt(end), row * 8);
  });
  const elements = Buffer.alloc(end * 2);
  values.flat().forEach((element, index) => {
    elements.writeUInt16LE(element, index * 2);
  });
  return Buffer.concat([ends, elements]);
}

export function uint64s(values: readonly bigint[]): Buffer {
  const buffer = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => {
    buffer.writeBigUInt64LE(value, index * 8);
  });
  return buffer;
}

const string = (value: Buffer): Buffer => Buffer.concat([varint(value.length), value]);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  bytes.push(value);
  return Buffer.from(bytes);
}
