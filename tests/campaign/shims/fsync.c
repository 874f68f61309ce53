/* Writes down how much of each append-only file has been synced, so that a power cut can be simulated: kill the
 * server, then cut each file back to what is written here. The size is taken before the call: what is written
 * while it runs is not promised. Log: $FSYNC_SHIM_LOG, lines "<size> <path>". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int (*next_of(const char *name))(int) { return (int (*)(int))dlsym(RTLD_NEXT, name); }

static int synced(int fd, const char *name) {
    char link[64], path[3072], line[4096];
    struct stat before;
    int known = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    int answer = next_of(name)(fd);
    if (answer != 0 || !known) return answer;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    const char *log = getenv("FSYNC_SHIM_LOG");
    if (length < 4 || !log || strncmp(path + length - 4, ".aof", 4) != 0) return answer;
    path[length] = 0;
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out >= 0) {
        int size = snprintf(line, sizeof line, "%lld %s\n", (long long)before.st_size, path);
        if (write(out, line, size) < 0) abort();
        close(out);
    }
    return answer;
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }
