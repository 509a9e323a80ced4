// SPDX-License-Identifier: Apache-2.0
#ifndef WAGGLE_GUARDED_WRITES_H
#define WAGGLE_GUARDED_WRITES_H

/*
 * From now on no write to a file below a subdirectory of `directory` fails for lack of space: it waits. One that fails for another reason of the disk ends the
 * process. To be called before the engine is loaded, with an absolute path without symbolic links. Returns 0, or -1 if the path is too long.
 */
int guard_writes(const char *directory);

#endif
