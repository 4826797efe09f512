// Runs a sketch against a pseudo-terminal, whose name is the first line that it prints.
#include "Arduino.h"
#ifndef SKETCH
#define SKETCH "cropzoom_trigger.ino"
#endif
#include SKETCH

int main() {
  Serial.fd = posix_openpt(O_RDWR | O_NOCTTY);
  grantpt(Serial.fd);
  unlockpt(Serial.fd);
  int port = open(ptsname(Serial.fd), O_RDWR | O_NOCTTY);  // kept open, so that a host may come and go
  termios raw;
  tcgetattr(port, &raw);
  cfmakeraw(&raw);
  tcsetattr(port, TCSANOW, &raw);
  printf("%s\n", ptsname(Serial.fd));
  fflush(stdout);
  setup();
  for (;;) loop();
}
