// SPDX-License-Identifier: Apache-2.0
import type { TestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import { BUCKETS_PER_OCTAVE } from "../packages/signals/src/index.ts";

/** From this mean on the normal distribution's entropy is a Poisson distribution's to within 0.01 bit. */
const NORMAL_FROM = 16;

/**
 * How much of a histogram row is noise, which no codec can take out however well it knows the distribution behind the row: bytes per row, on average.
 * Events are taken to be independent, so a bucket's count is a Poisson variable around what is to be expected, and values to lie evenly within their
 * bucket. Then the sum of many, the smallest and the largest are each known to within some range, and a number in a range needs the range's logarithm. Nothing
 * is reckoned for the row's name, for which buckets it has, or for its count, which is the sum of theirs.
 * @param table a histogram signal's, of any level
 * @returns null for a table without rows that counted something
 */
export async function noiseBytesPerRow(client: TestClickHouse["client"], table: string): Promise<number | null> {
  const variance = `arraySum((bucket, values) -> values * pow(${widthOf("bucket")}, 2) / 12, \`k\`, \`c\`)`;
  const answer = await client.query({
    // A measure that has whole µs throughout has a thousandth of the values that ns have. Of one event the sum is the smallest and the largest, of two their sum.
    query: `
      WITH (SELECT if(countIf(\`sum\` % 1000 != 0) = 0, 1000, 1) FROM ${table}) AS grain
      SELECT
        count() AS row_count,
        avg(arraySum(values -> if(values < ${NORMAL_FROM}, {entropies:Array(Float64)}[toUInt8(values)], 0.5 * log2(2 * pi() * e() * values)), \`c\`)) AS counts,
        avg(if(\`count\` < 3, 0, 0.5 * log2(greatest(1, 2 * pi() * e() * ${variance} / pow(grain, 2))))) AS total,
        avg(log2(greatest(1, ${widthOf("`k`[1]")} / grain))) AS least,
        avg(if(\`count\` < 2, 0, log2(greatest(1, ${widthOf("`k`[-1]")} / grain)))) AS most
      FROM ${table} WHERE \`count\` > 0`,
    query_params: { entropies: Array.from({ length: NORMAL_FROM - 1 }, (_, index) => poissonEntropyBits(index + 1)) },
    format: "JSONEachRow",
  });
  const [row] = await answer.json<{ row_count: string; counts: number; total: number; least: number; most: number }>();
  return row === undefined || Number(row.row_count) === 0 ? null : (row.counts + row.total + row.least + row.most) / 8;
}

/** SQL of a bucket's width, ns. */
function widthOf(bucket: string): string {
  return `(exp2((${bucket} + 1) / ${BUCKETS_PER_OCTAVE}) - exp2(${bucket} / ${BUCKETS_PER_OCTAVE}))`;
}

/** Entropy of a Poisson variable, bits. @param mean above 0 and small: what is summed up reaches ten times as far */
function poissonEntropyBits(mean: number): number {
  let bits = 0;
  let chance = Math.exp(-mean);
  for (let values = 0; values < mean * 10 + 20; values++) {
    if (chance > 0) bits -= chance * Math.log2(chance);
    chance *= mean / (values + 1);
  }
  return bits;
}
