/* Receives poses in plain C, with libzmq and cJSON.
 *
 *   sudo apt install libzmq3-dev libcjson-dev
 *   cc -O2 -Wall -o subscriber subscriber.c -lzmq -lcjson
 *   ./subscriber tcp://127.0.0.1:5660 snout
 *
 * It prints a line for each plausible pose of an animal that is found: frame, x, y, likelihood. It ends with the run.
 * Write what to switch, and on which pose, into act(). A pose is old if the machine or the network was busy.
 * age_ms() is right on the machine that tracks.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>
#include <zmq.h>

static double number(const cJSON *item) { return cJSON_IsNumber(item) ? item->valuedouble : NAN; }

static double age_ms(const cJSON *pose)
{
    struct timespec now; /* the clock of every time in a message */
    clock_gettime(CLOCK_MONOTONIC, &now);
    const cJSON *captured = cJSON_GetObjectItem(cJSON_GetObjectItem(pose, "time"), "captured_ns");
    return 1e3 * (double)now.tv_sec + (double)now.tv_nsec / 1e6 - number(captured) / 1e6;
}

static void act(const cJSON *pose, const char *name)
{
    const char *state = cJSON_GetStringValue(cJSON_GetObjectItem(pose, "state"));
    const cJSON *keypoint = cJSON_GetObjectItem(cJSON_GetObjectItem(pose, "keypoints"), name);
    double x = number(cJSON_GetArrayItem(keypoint, 0));
    double y = number(cJSON_GetArrayItem(keypoint, 1));
    double likelihood = number(cJSON_GetArrayItem(keypoint, 2));
    if (keypoint == NULL) {
        fprintf(stderr, "the pose has no keypoint %s\n", name);
        exit(2);
    }
    int plausible = cJSON_IsTrue(cJSON_GetObjectItem(pose, "plausible")); /* if not, "doubt" gives the reason */
    if (state == NULL || strcmp(state, "tracking") != 0 || !plausible || isnan(x) || age_ms(pose) > 1000)
        return; /* not found, not believable, or too old: do nothing, or switch off */
    printf("%.0f %.3f %.3f %.3f\n", number(cJSON_GetObjectItem(pose, "frame")), x, y, likelihood);
    fflush(stdout);
}

/* Returns one part of a message as a string that the caller frees; NULL if the socket failed. */
static char *receive(void *socket)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    int size = zmq_msg_recv(&part, socket, 0);
    char *text = NULL;
    if (size >= 0 && (text = malloc((size_t)size + 1)) != NULL) {
        memcpy(text, zmq_msg_data(&part), (size_t)size);
        text[size] = '\0';
    }
    zmq_msg_close(&part);
    return text;
}

int main(int argc, char **argv)
{
    const char *endpoint = argc > 1 ? argv[1] : "tcp://127.0.0.1:5660";
    const char *name = argc > 2 ? argv[2] : "snout";
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_SUB);
    if (zmq_connect(socket, endpoint) != 0) {
        fprintf(stderr, "cannot connect to %s: %s\n", endpoint, zmq_strerror(zmq_errno()));
        return 2;
    }
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "pose/", 5);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "end/", 4);

    long expected = -1, missed = 0;
    for (int ended = 0; !ended;) {
        char *topic = receive(socket);
        char *payload = receive(socket);
        cJSON *message = payload == NULL ? NULL : cJSON_Parse(payload);
        if (topic == NULL || payload == NULL) {
            ended = 1;
        } else if (strncmp(topic, "end/", 4) == 0) {
            ended = 1;
            fprintf(stderr, "the run ended: %s; %ld poses missed\n",
                    cJSON_GetStringValue(cJSON_GetObjectItem(message, "reason")), missed);
        } else if (message != NULL) {
            long seq = (long)number(cJSON_GetObjectItem(message, "seq"));
            if (expected >= 0 && seq > expected)
                missed += seq - expected;
            expected = seq + 1;
            act(message, name);
        }
        cJSON_Delete(message);
        free(topic);
        free(payload);
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
