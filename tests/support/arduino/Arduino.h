// As much of Arduino as our sketches need, on a computer: the serial line is a pseudo-terminal,
// and every change of a pin is printed with its time.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

const uint8_t LOW = 0, HIGH = 1, OUTPUT = 1, LED_BUILTIN = 8;

inline uint64_t monotonicUs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

// Begins close to the end of its range, so that it wraps early in every test.
inline uint32_t micros() {
  static const uint64_t began = monotonicUs();
  return (uint32_t)(monotonicUs() - began + 0xFFFFFFFFULL - 300000);
}
inline uint32_t millis() { return (uint32_t)(monotonicUs() / 1000); }

inline void pinMode(uint8_t, uint8_t) {}
inline void digitalWrite(uint8_t pin, uint8_t level) {
  static int8_t shown[64];
  if (shown[pin] == level) return;
  shown[pin] = level;
  uint64_t us = monotonicUs();
  printf("%llu.%06llu channel %d %s\n", (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000), pin - 7,
         level == HIGH ? "on" : "off");
  fflush(stdout);
}

struct Line {
  int fd = -1;
  void begin(long) {}
  int available() {
    pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 1) > 0 && (p.revents & POLLIN) ? 1 : 0;
  }
  char read() {
    char c = 0;
    return ::read(fd, &c, 1) == 1 ? c : 0;
  }
  void print(const char *text) {
    if (write(fd, text, strlen(text)) < 0) exit(1);
  }
  void print(char c) {
    char text[] = {c, 0};
    print(text);
  }
  void print(uint32_t number) {
    char text[16];
    snprintf(text, sizeof text, "%lu", (unsigned long)number);
    print(text);
  }
} Serial;
