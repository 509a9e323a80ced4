// SPDX-License-Identifier: Apache-2.0
import Link from "next/link";
import type { Sentence } from "@/lib/findings";
import styles from "./sentence.module.css";

/** A sentence with its links and the words that matter most. */
export function SentenceText({ sentence }: { sentence: Sentence }) {
  return sentence.map((raw, i) => {
    // A number and its unit stay on one line.
    const part = { ...raw, text: raw.text.replace(/(\d) (?=[%×µa-zA-Z])/g, "$1\u00a0") };
    const key = `${i}${part.text}`;
    const className = part.tone ? styles[part.tone] : undefined;
    if (part.href !== undefined) {
      return (
        <Link key={key} href={part.href} className={`${styles["link"]} ${className ?? ""}`}>
          {part.text}
        </Link>
      );
    }
    return part.tone ? (
      <span key={key} className={className}>
        {part.text}
      </span>
    ) : (
      part.text
    );
  });
}
