"""A camera to test with: serves a looping clip on this machine as RTSP and as HTTP MJPEG, and fails when it is told to.

python -m pipeline.testcamera clip.mp4 --rtsp-port 8554 --http-port 8080 --controls
"""
