/* Faults on demand, to be preloaded: operations on files below one folder are logged, counted, and made to fail. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <unistd.h>

#define MAX_FD 1024
#define SHORT (-1)

static char folder[4096], kinds[256], struck[16];
static char path_of[MAX_FD][4096];
static int armed, number, sticky, signum, log_fd = -1;
static long at, count;

#define REAL(result, name, ...)                                             \
    static result (*real)(__VA_ARGS__);                                     \
    if (!real)                                                              \
        real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static ssize_t real_write(int fd, const void *data, size_t n)
{
    REAL(ssize_t, write, int, const void *, size_t);
    return real(fd, data, n);
}

/* Operation `at` (from 0) of the `kinds` (words between commas) on a file below `dir` ends in error `no`, is cut to half
   its length where that is -1, or where `sig` is not 0 does what it should after that signal. `stick`: all further ones
   of its kind end so too. Every operation is a line "kind path" in `log`. */
void fault_arm(const char *dir, const char *which, long n, int no, int stick, int sig, int log)
{
    snprintf(folder, sizeof folder, "%s", dir);
    snprintf(kinds, sizeof kinds, ",%s,", which);
    at = n, number = no, sticky = stick, signum = sig, log_fd = log, count = 0;
    struck[0] = 0;
    armed = 1;
}

static int is_below(const char *path)
{
    return armed && path && path[0] && (path[0] != '/' || !strncmp(path, folder, strlen(folder)));
}

/* 0: go on; 1: fail with errno; SHORT: do half, of what has halves */
static int strikes(const char *kind, const char *path)
{
    char line[4200], word[32];
    if (!is_below(path))
        return 0;
    snprintf(line, sizeof line, "%s %s\n", kind, path);
    if (log_fd >= 0)
        real_write(log_fd, line, strlen(line));
    snprintf(word, sizeof word, ",%s,", kind);
    if (!strstr(kinds, word))
        return 0;
    int now = count++ == at;
    if (now)
        snprintf(struck, sizeof struck, "%s", kind);
    if (!now && !(sticky && !strcmp(struck, kind)))
        return 0;
    if (signum) {
        kill(getpid(), signum);
        return 0;
    }
    if (number == SHORT)
        return !strcmp(kind, "write") || !strcmp(kind, "read") ? SHORT : 0;
    errno = number;
    return 1;
}

static const char *name(int fd) { return fd >= 0 && fd < MAX_FD ? path_of[fd] : ""; }

static int opened(int fd, const char *path)
{
    if (fd >= 0 && fd < MAX_FD)
        snprintf(path_of[fd], sizeof path_of[fd], "%s", is_below(path) ? path : "");
    return fd;
}

static const char *open_kind(int flags)
{
    return flags & O_DIRECTORY ? "opendir" : flags & O_CREAT ? "create" : "open";
}

#define OPEN(symbol)                                                        \
    int symbol(const char *path, int flags, ...)                            \
    {                                                                       \
        va_list args;                                                       \
        va_start(args, flags);                                              \
        mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;           \
        va_end(args);                                                       \
        REAL(int, symbol, const char *, int, ...);                          \
        return strikes(open_kind(flags), path) ? -1 : opened(real(path, flags, mode), path); \
    }
OPEN(open)
OPEN(open64)

int close(int fd)
{
    REAL(int, close, int);
    int fails = strikes("close", name(fd)), no = errno, result = real(fd);
    opened(fd, "");
    if (!fails)
        return result;
    errno = no;
    return -1;
}

#define HALF(kind, fd, n)                                                   \
    int fails = strikes(kind, name(fd));                                    \
    if (fails == 1)                                                         \
        return -1;                                                          \
    if (fails == SHORT && n > 1)                                            \
        n /= 2

ssize_t write(int fd, const void *data, size_t n)
{
    HALF("write", fd, n);
    return real_write(fd, data, n);
}

ssize_t read(int fd, void *data, size_t n)
{
    REAL(ssize_t, read, int, void *, size_t);
    HALF("read", fd, n);
    return real(fd, data, n);
}

#define AT(symbol, kind, type, off)                                         \
    ssize_t symbol(int fd, type data, size_t n, off where)                  \
    {                                                                       \
        REAL(ssize_t, symbol, int, type, size_t, off);                      \
        HALF(kind, fd, n);                                                  \
        return real(fd, data, n, where);                                    \
    }
AT(pwrite, "write", const void *, off_t)
AT(pwrite64, "write", const void *, off64_t)
AT(pread, "read", void *, off_t)
AT(pread64, "read", void *, off64_t)

int fsync(int fd)
{
    REAL(int, fsync, int);
    return strikes("fsync", name(fd)) ? -1 : real(fd);
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *);
    return strikes("rename", to) ? -1 : real(from, to);
}

int unlink(const char *path)
{
    REAL(int, unlink, const char *);
    return strikes("unlink", path) ? -1 : real(path);
}

#define FCNTL(symbol)                                                       \
    int symbol(int fd, int command, ...)                                    \
    {                                                                       \
        va_list args;                                                       \
        va_start(args, command);                                            \
        void *argument = va_arg(args, void *);                              \
        va_end(args);                                                       \
        REAL(int, symbol, int, int, ...);                                   \
        int locks = command == F_SETLK || command == F_SETLKW;              \
        return locks && strikes("lock", name(fd)) ? -1 : real(fd, command, argument); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int flock(int fd, int how)
{
    REAL(int, flock, int, int);
    return strikes("lock", name(fd)) ? -1 : real(fd, how);
}
