// Loaded before the C library (LD_PRELOAD): faults in the calls that change files below one directory.
//
//   FAULT_DIR   the directory, absolute
//   FAULT_KIND  full    call FAULT_AT writes half of its bytes, or fails, and every later one fails: no space
//               denied  from call FAULT_AT on nothing can be made, renamed or removed: permission denied
//               short   from call FAULT_AT on every write takes half of its bytes, as any write may
//               kill    the process is killed before call FAULT_AT
//   FAULT_AT    a number; calls are counted from 1
//   FAULT_LOG   where calls are listed, one a line; optional
//   FAULT_NO_EXCHANGE  if set, names cannot be exchanged, as on some file systems

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum kind { NONE, FULL, DENIED, SHORT, KILL };
enum effect { MAKES, WRITES, SYNCS };

static enum kind kind;
static const char *directory;
static long first;
static int log_fd = -1;
static atomic_long calls;

__attribute__((constructor)) static void read_environment(void) {
  const char *name = getenv("FAULT_KIND"), *at = getenv("FAULT_AT"), *log = getenv("FAULT_LOG");
  directory = getenv("FAULT_DIR");
  first = at ? atol(at) : 1;
  static const char *const names[] = {[FULL] = "full", [DENIED] = "denied", [SHORT] = "short", [KILL] = "kill"};
  for (int each = FULL; name && each <= KILL; ++each) {
    if (!strcmp(name, names[each])) kind = each;
  }
  if (log) log_fd = NEXT(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static int is_below(const char *path) {
  char absolute[2 * PATH_MAX];
  if (path[0] != '/') {
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) return 0;
    snprintf(absolute, sizeof absolute, "%s/%s", here, path);
    path = absolute;
  }
  size_t length = directory ? strlen(directory) : 0;
  return length && !strncmp(path, directory, length) && (path[length] == '/' || !path[length]);
}

static int is_open_below(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path);
}

// The number of this call if it is one to fail, else 0. `errno` says why.
static long fails(const char *call, enum effect effect) {
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (log_fd >= 0) dprintf(log_fd, "%s\n", call);
  if (number < first) return 0;
  if (kind == KILL) raise(SIGKILL);
  if (kind == FULL) errno = ENOSPC;
  if (kind == DENIED) errno = EACCES;
  return kind == FULL || (kind == DENIED && effect == MAKES) ? number : 0;
}

static size_t half_of(size_t count) { return count > 1 ? count / 2 : count; }

ssize_t write(int fd, const void *bytes, size_t count) {
  if (fd != log_fd && is_open_below(fd)) {
    long number = fails("write", WRITES);
    int is_last_to_fit = number == first && count > 1;
    if (number && !is_last_to_fit) return -1;
    if (is_last_to_fit || (kind == SHORT && atomic_load(&calls) >= first)) count = half_of(count);
  }
  return NEXT(write)(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int num_parts) {
  // A write of the first part alone is a short one, and as good.
  if (fd != log_fd && is_open_below(fd)) {
    for (int part = 0; part < num_parts; ++part) {
      if (parts[part].iov_len) return write(fd, parts[part].iov_base, parts[part].iov_len);
    }
  }
  return NEXT(writev)(fd, parts, num_parts);
}

static int opened(const char *path, int flags, mode_t mode) {
  if ((flags & (O_CREAT | O_TRUNC)) && is_below(path) && fails("open", MAKES)) return -1;
  return NEXT(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}

int fsync(int fd) { return is_open_below(fd) && fails("fsync", SYNCS) ? -1 : NEXT(fsync)(fd); }

int ftruncate64(int fd, off64_t length) {
  return is_open_below(fd) && fails("ftruncate", WRITES) ? -1 : NEXT(ftruncate64)(fd, length);
}

int mkdir(const char *path, mode_t mode) {
  return is_below(path) && fails("mkdir", MAKES) ? -1 : NEXT(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
  return is_below(to) && fails("rename", MAKES) ? -1 : NEXT(rename)(from, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  if (is_below(to)) {
    if (fails("renameat2", MAKES)) return -1;
    if (getenv("FAULT_NO_EXCHANGE")) {
      errno = EINVAL;
      return -1;
    }
  }
  return NEXT(renameat2)(from_folder, from, to_folder, to, flags);
}

// A full disk does not hinder removing: these calls count only for the faults that hit them.
static int unlink_fails(int is_ours) { return is_ours && (kind == DENIED || kind == KILL) && fails("unlink", MAKES); }

int unlink(const char *path) { return unlink_fails(is_below(path)) ? -1 : NEXT(unlink)(path); }

int unlinkat(int folder, const char *path, int flags) {
  int is_ours = path[0] == '/' || folder == AT_FDCWD ? is_below(path) : is_open_below(folder);
  return unlink_fails(is_ours) ? -1 : NEXT(unlinkat)(folder, path, flags);
}
