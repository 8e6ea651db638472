"""What the pod's user may not read of the image, and what to set then. Asks the file system for rights, and reads nothing."""

import os


def unreadable(path, may=os.access):
    """The first folder or file on the way to `path` that is there and may not be read; None where all of them may."""
    path = os.path.abspath(path)
    way = [path]
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        way.insert(0, path)
    for place in way:
        if not os.path.lexists(place):
            return None
        if not may(place, os.X_OK if place != way[-1] else os.R_OK):
            return place
    return None


def hint_of_rights(*paths, may=os.access):
    """What helps where something seems to be missing, and may only be unreadable."""
    place = next(filter(None, (unreadable(path, may) for path in paths if path)), None)
    if place is None:
        return ""
    return "; the pod's user %d may not read %s: let spec.podTemplate.spec.securityContext.runAsUser name the image's own" % (os.getuid(), place)
