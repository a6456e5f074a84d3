import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

@Controller()
class Hello {
  @Get()
  hello(): string {
    return 'Hello from node-nest\n';
  }
}

@Module({ controllers: [Hello] })
class AppModule {}

NestFactory.create(AppModule).then((app) => app.listen(3000));
