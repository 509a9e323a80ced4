// SPDX-License-Identifier: Apache-2.0
import Link from "next/link";
import styles from "./sign-in/sign-in.module.css";

export default function NotFound() {
  return (
    <main className={styles["page"]}>
      <h1 className={styles["title"]}>There is no such page</h1>
      <p>
        <Link href="/">Go to the fleet</Link>
      </p>
    </main>
  );
}
