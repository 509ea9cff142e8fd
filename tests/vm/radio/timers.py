"""One thread, one wait: descriptors and timers."""

import heapq
import itertools
import selectors
import time


class Timer:
    """What after() returns; cancel() may be called at any time, and again."""

    def __init__(self, call):
        self.call = call

    def cancel(self):
        self.call = None


class Loop:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.timers = []
        self.order = itertools.count()  # equal times: first come, first served
        self.running = True

    @staticmethod
    def now():
        return time.monotonic()

    def at(self, when, call):
        timer = Timer(call)
        heapq.heappush(self.timers, (when, next(self.order), timer))
        return timer

    def after(self, seconds, call):
        return self.at(self.now() + seconds, call)

    def watch(self, file, call):
        self.selector.register(file, selectors.EVENT_READ, call)

    def forget(self, file):
        self.selector.unregister(file)

    def run(self):
        while self.running:
            while self.timers and self.timers[0][0] <= self.now():
                timer = heapq.heappop(self.timers)[2]
                if timer.call:
                    timer.call()
            pause = max(0, self.timers[0][0] - self.now()) if self.timers else None
            for key, _ in self.selector.select(pause):
                key.data()
