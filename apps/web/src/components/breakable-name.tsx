// SPDX-License-Identifier: Apache-2.0
import { Fragment } from "react";
import styles from "./breakable-name.module.css";
import { wordsOfName } from "./words-of-name";

/** A name of a program or counter that may go on in the next line between its words, and nowhere else. */
export function BreakableName({ name }: { name: string }) {
  return (
    <span className={styles["name"]}>
      {wordsOfName(name).map((word, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: words of one name never change places
        <Fragment key={index}>
          {index > 0 && <wbr />}
          {word}
        </Fragment>
      ))}
    </span>
  );
}
